//! Clients that others wrote map, renew and delete against the gateway: it cannot be wrong in the way that we are.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use common::*;
use igd_next::{PortMappingProtocol, SearchOptions};
use portlease_gateway::{Gateway, Protocol, Transport};

fn protocols(gateway: &Gateway) -> Vec<(Protocol, Transport, u16)> {
    gateway.mappings().iter().map(|mapping| (mapping.protocol, mapping.transport, mapping.external_port)).collect()
}

fn igd_options(gateway: &Gateway) -> SearchOptions {
    let mut options = SearchOptions::default();
    options.bind_addr = "127.0.0.1:0".parse().unwrap();
    options.broadcast_address = gateway.ssdp_address();
    options.timeout = Some(PATIENCE);
    // Loopback is not trusted unless named.
    options.allowed_gateway_ips = vec![gateway.address()];
    options
}

#[tokio::test]
async fn igd_next_maps_renews_lists_and_deletes() {
    for igd_version in [1, 2] {
        let gateway = start(|config| config.igd_version = igd_version);
        let client = igd_next::aio::tokio::search_gateway(igd_options(&gateway)).await.unwrap();
        assert_eq!(client.get_external_ip().await.unwrap(), IpAddr::V4(Ipv4Addr::new(192, 0, 1, 1)));

        let internal = SocketAddr::from(([127, 0, 0, 1], 4000));
        for _ in 0..2 {
            client.add_port(PortMappingProtocol::UDP, 4100, internal, 600, "igd-next <1>").await.unwrap();
        }
        let any = client.add_any_port(PortMappingProtocol::TCP, internal, 600, "any").await.unwrap();

        let entry = client.get_generic_port_mapping_entry(0).await.unwrap();
        assert_eq!(
            (entry.external_port, entry.internal_port, entry.port_mapping_description.as_str()),
            (4100, 4000, "igd-next <1>")
        );
        assert!((590..=600).contains(&entry.lease_duration), "{}", entry.lease_duration);
        assert_eq!(
            protocols(&gateway),
            [(Protocol::Upnp, Transport::Udp, 4100), (Protocol::Upnp, Transport::Tcp, any)]
        );

        client.remove_port(PortMappingProtocol::UDP, 4100).await.unwrap();
        client.remove_port(PortMappingProtocol::TCP, any).await.unwrap();
        assert_eq!(protocols(&gateway), []);
        assert!(client.remove_port(PortMappingProtocol::TCP, any).await.is_err(), "deleted twice");
    }
}

#[test]
fn igd_next_without_async_maps_and_deletes() {
    let gateway = gateway();
    let client = igd_next::search_gateway(igd_options(&gateway)).unwrap();
    client.add_port(PortMappingProtocol::TCP, 4101, SocketAddr::from(([127, 0, 0, 1], 4001)), 0, "sync").unwrap();
    // IGD 2 turns the lease 0 into a week.
    assert_eq!(gateway.mappings()[0].expires_in, Some(604_800));
    client.remove_port(PortMappingProtocol::TCP, 4101).unwrap();
    assert_eq!(protocols(&gateway), []);
}

/// On an address of each test's own, which only Linux is known to answer from.
#[cfg(target_os = "linux")]
mod real_port {
    use std::num::NonZeroU16;

    use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, PortMappingType};
    use natpmp::{Protocol as NatpmpProtocol, Response};
    use portlease_gateway::GatewayConfig;

    use super::*;

    /// crab_nat, natpmp and natpmpc know no other port than 5351: each test gets an address of its own for it.
    pub(super) fn on_real_port(last: u8, change: impl FnOnce(&mut GatewayConfig)) -> (Gateway, Ipv4Addr) {
        let address = Ipv4Addr::new(127, 0, 53, last);
        let gateway = start(|config| {
            config.bind = address.into();
            config.pcp_port = 5351;
            change(config);
        });
        (gateway, address)
    }

    #[tokio::test]
    async fn crab_nat_maps_renews_and_deletes_by_pcp_and_by_natpmp() {
        for (last, pcp, expected) in [(1, true, Protocol::Pcp), (2, false, Protocol::NatPmp)] {
            let (gateway, address) = on_real_port(last, |config| config.pcp = pcp);
            for (protocol, transport) in
                [(InternetProtocol::Udp, Transport::Udp), (InternetProtocol::Tcp, Transport::Tcp)]
            {
                let options = PortMappingOptions {
                    external_port: NonZeroU16::new(4200),
                    lifetime_seconds: Some(300),
                    timeout_config: None,
                };
                // The source address that the kernel takes towards any 127.x address.
                let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
                let internal = NonZeroU16::new(4002).unwrap();
                let mut mapping =
                    PortMapping::new(IpAddr::V4(address).into(), local, protocol, internal, options).await.unwrap();
                assert_eq!((mapping.external_port().get(), mapping.lifetime()), (4200, 300));
                assert_eq!(matches!(mapping.mapping_type(), PortMappingType::Pcp { .. }), pcp);
                assert_eq!(protocols(&gateway), [(expected, transport, 4200)]);
                mapping.renew().await.unwrap();
                assert_eq!(protocols(&gateway), [(expected, transport, 4200)]);
                mapping.try_drop().await.unwrap();
                assert_eq!(protocols(&gateway), []);
            }
        }
    }

    #[tokio::test]
    async fn natpmp_asks_the_address_maps_renews_and_deletes() {
        let (gateway, address) = on_real_port(3, |_| ());
        let mut client = natpmp::new_tokio_natpmp_with(address).await.unwrap();
        client.send_public_address_request().await.unwrap();
        let Response::Gateway(answer) = client.read_response_or_retry().await.unwrap() else {
            panic!("not an address")
        };
        assert_eq!(*answer.public_address(), Ipv4Addr::new(192, 0, 1, 1));
        for _ in 0..2 {
            client.send_port_mapping_request(NatpmpProtocol::UDP, 4003, 4203, 120).await.unwrap();
            let Response::UDP(answer) = client.read_response_or_retry().await.unwrap() else { panic!("not UDP") };
            assert_eq!((answer.private_port(), answer.public_port(), answer.lifetime().as_secs()), (4003, 4203, 120));
        }
        assert_eq!(protocols(&gateway), [(Protocol::NatPmp, Transport::Udp, 4203)]);
        client.send_port_mapping_request(NatpmpProtocol::UDP, 4003, 0, 0).await.unwrap();
        assert!(matches!(client.read_response_or_retry().await.unwrap(), Response::UDP(_)));
        assert_eq!(protocols(&gateway), []);
    }
}

/// Programs of the distribution, which Windows does not have.
#[cfg(unix)]
mod programs {
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    /// Runs a program of the distribution; `None`, with a line that says so, where it is not installed.
    fn tool(name: &str, arguments: &[&str]) -> Option<Output> {
        let installed = ["/usr/bin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(name).exists());
        if !installed {
            skip(&format!("{name} is not installed"));
            return None;
        }
        Some(Command::new(name).args(arguments).output().unwrap())
    }

    fn text(output: &Output) -> String {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    #[test]
    fn upnpc_maps_renews_lists_and_deletes() {
        for igd_version in [1, 2] {
            let gateway = start(|config| config.igd_version = igd_version);
            let url = gateway.description_url();
            let upnpc = |arguments: &[&str]| tool("upnpc", &[&["-u", &url], arguments].concat());
            let Some(status) = upnpc(&["-s"]) else { return };
            assert!(text(&status).contains("ExternalIPAddress = 192.0.1.1"), "{}", text(&status));
            assert!(text(&status).contains("Status : Connected"), "{}", text(&status));

            for _ in 0..2 {
                let added = upnpc(&["-e", "by upnpc", "-a", "127.0.0.1", "4004", "4204", "udp", "3600"]).unwrap();
                assert!(text(&added).contains("is redirected to internal 127.0.0.1:4004"), "{}", text(&added));
            }
            assert_eq!(protocols(&gateway), [(Protocol::Upnp, Transport::Udp, 4204)]);
            let listed = upnpc(&["-l"]).unwrap();
            assert!(text(&listed).contains("4204->127.0.0.1:4004"), "{}", text(&listed));
            assert!(text(&listed).contains("'by upnpc'"), "{}", text(&listed));

            let deleted = upnpc(&["-d", "4204", "udp"]).unwrap();
            assert!(text(&deleted).contains("UPNP_DeletePortMapping() returned : 0"), "{}", text(&deleted));
            assert_eq!(protocols(&gateway), []);
            let again = upnpc(&["-d", "4204", "udp"]).unwrap();
            assert!(text(&again).contains("714"), "{}", text(&again));
            let soap_adds = gateway.counters().get("soap_AddPortMapping");
            assert_eq!(soap_adds, 2);
        }
    }

    #[test]
    fn upnpc_takes_any_port_from_an_igd_2() {
        let gateway = gateway();
        gateway.add_mapping(Transport::Tcp, 4205, "192.168.1.9:80".parse().unwrap(), None).unwrap();
        let url = gateway.description_url();
        let Some(added) = tool("upnpc", &["-u", &url, "-n", "127.0.0.1", "4005", "4205", "tcp", "60"]) else { return };
        assert!(text(&added).contains("is redirected to internal 127.0.0.1:4005"), "{}", text(&added));
        assert_eq!(
            protocols(&gateway),
            [(Protocol::Static, Transport::Tcp, 4205), (Protocol::Upnp, Transport::Tcp, 4206)]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn natpmpc_maps_renews_and_deletes() {
        let (gateway, address) = real_port::on_real_port(4, |_| ());
        let address = address.to_string();
        let natpmpc = |arguments: &[&str]| tool("natpmpc", &[&["-g", &address], arguments].concat());
        let Some(asked) = natpmpc(&[]) else { return };
        assert!(text(&asked).contains("Public IP address : 192.0.1.1"), "{}", text(&asked));
        for _ in 0..2 {
            let mapped = natpmpc(&["-a", "4206", "4006", "tcp", "300"]).unwrap();
            assert!(
                text(&mapped).contains("Mapped public port 4206 protocol TCP to local port 4006"),
                "{}",
                text(&mapped)
            );
        }
        assert_eq!(protocols(&gateway), [(Protocol::NatPmp, Transport::Tcp, 4206)]);
        natpmpc(&["-a", "0", "4006", "tcp", "0"]).unwrap();
        assert!(gateway.wait_for(std::time::Duration::from_secs(1), |state| state.mappings.is_empty()));
        assert_eq!(gateway.counters().get("natpmp_delete"), 1);
    }

    #[test]
    fn upnpc_opens_updates_checks_and_closes_a_pinhole_over_ipv6() {
        let Some(gateway) = ipv6::firewall() else { return };
        let url = ipv6::over_ipv6(&gateway).description_url;
        let upnpc = |arguments: &[&str]| tool("upnpc", &[&["-6", "-u", &url], arguments].concat());
        let Some(status) = upnpc(&["-S"]) else { return };
        assert!(text(&status).contains("FirewallEnabled: 1 & Inbound Pinhole Allowed: 1"), "{}", text(&status));
        let open = |lease: &str| upnpc(&["-A", "empty", "0", "::1", "4000", "UDP", lease]).unwrap();
        let opened = open("600");
        let pinhole = ipv6::udp_pinhole(&gateway, 4000).unwrap_or_else(|| panic!("{}", text(&opened)));
        let id = pinhole.unique_id.unwrap().to_string();
        let updated = upnpc(&["-U", &id, "1200"]).unwrap();
        assert!(ipv6::udp_pinhole(&gateway, 4000).unwrap().expires_in > Some(600), "{}", text(&updated));
        let packets = upnpc(&["-K", &id]).unwrap();
        assert!(text(&packets).contains("PinholePackets = 0"), "{}", text(&packets));
        let closed = upnpc(&["-D", &id]).unwrap();
        assert!(gateway.mappings().is_empty(), "{}", text(&closed));
    }

    /// Multicast needs an interface of its own: a fresh network namespace has only its loopback.
    #[cfg(target_os = "linux")]
    #[test]
    fn upnpc_finds_the_gateway_by_multicast_on_the_real_port() {
        let script = format!(
            "ip link set lo up && ip route add 224.0.0.0/4 dev lo || exit 77; \
             sleep 30 | {} --ssdp-multicast --ssdp-port 1900 --bind 127.0.0.1 >/dev/null & \
             for try in 1 2 3 4 5; do upnpc -m 127.0.0.1 -a 127.0.0.1 4007 4207 udp 60 && break; done; \
             upnpc -m 127.0.0.1 -l",
            env!("CARGO_BIN_EXE_portlease-gateway")
        );
        let arguments = ["--net", "--pid", "--fork", "--kill-child", "sh", "-c", &script];
        let Some(output) = tool("unshare", &arguments) else { return };
        if tool("upnpc", &["-h"]).is_none() {
            return;
        }
        if output.status.code() == Some(77) || text(&output).contains("unshare failed") {
            return skip("no network namespace can be made here");
        }
        assert!(text(&output).contains("4207->127.0.0.1:4007"), "{}", text(&output));
    }

    /// The same over IPv6, which needs an interface with multicast. The kernel lets nobody use an IPv6 address before it has seen that
    /// the cable is there, which it looks for once a second at most.
    #[cfg(target_os = "linux")]
    #[test]
    fn upnpc_finds_the_firewall_by_multicast_over_ipv6() {
        let script = format!(
            "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; \
             ip link set lo up && ip link add v6lan type veth peer name v6peer && ip link set v6lan up && \
             ip link set v6peer up && ip -6 address add fd00::1/64 dev v6lan && ip address add 10.9.9.1/24 dev v6lan \
             || exit 77; \
             for wait in $(seq 600); do \
               ip -6 address show dev v6lan scope link -tentative | grep -q inet6 && break; sleep 0.05; \
             done; \
             sleep 30 | {} --ipv6 --ipv6-bind fd00::1 --ssdp-multicast --ssdp-port 1900 --bind 10.9.9.1 >/dev/null & \
             for try in 1 2 3 4 5; do upnpc -6 -m v6lan -S && break; done; \
             upnpc -6 -m v6lan -A empty 0 fd00::1 4000 UDP 600",
            env!("CARGO_BIN_EXE_portlease-gateway")
        );
        let Some(output) = tool("unshare", &["--net", "--pid", "--fork", "--kill-child", "sh", "-c", &script]) else {
            return;
        };
        if tool("upnpc", &["-h"]).is_none() {
            return;
        }
        if output.status.code() == Some(77) || text(&output).contains("unshare failed") {
            return skip("no network namespace can be made here");
        }
        let text = text(&output);
        assert!(text.contains("http://[fd00::1]:") && text.contains("Pinhole ID = 1"), "{text}");
    }
}
