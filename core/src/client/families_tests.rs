use super::*;
use crate::mapping::Protocol;
use crate::schedule::DEFAULT_TTL;

const IPV4: MapRequest = MapRequest::new(4000, Transport::Udp);
const IPV6: MapRequest = MapRequest::new(4000, Transport::Udp).family(AddressFamily::Ipv6);

/// A gateway on loopback, where nothing listens.
fn nobody() -> Config {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Config::default().gateway(IpAddr::from([127, 0, 0, 1])).pcp_port(port).protocols([Protocol::Pcp, Protocol::NatPmp])
}

#[tokio::test]
async fn ipv6_begins_with_the_first_request_for_it() {
    let families = Families::new(nobody(), &Worlds::default());
    families.install(&IPV4, DEFAULT_TTL).await.unwrap_err();
    families.abandon(&IPV4).await.unwrap();
    families.report().await.unwrap();
    families.settle().await;
    drop(families.view());
    assert!(families.ipv6.get().is_none());
    let error = families.install(&IPV6, DEFAULT_TTL).await.unwrap_err();
    assert!(error.to_string().contains("[::1]"), "{error}");
    assert!(families.ipv6.get().is_some());
    let report = families.report_of(AddressFamily::Ipv6).await.unwrap();
    let protocols: Vec<_> = report.protocols.iter().map(|report| report.protocol).collect();
    assert_eq!(protocols, [Protocol::Pcp], "NAT-PMP has no IPv6");
}

#[tokio::test]
async fn protocols_without_ipv6_are_unavailable_and_named() {
    let families = Families::new(nobody().protocols([Protocol::NatPmp]), &Worlds::default());
    let error = families.install(&IPV6, DEFAULT_TTL).await.unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::Unavailable);
    let text = "no configured protocol (nat-pmp) opens IPv6 pinholes; these do: pcp, upnp";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_race_asks_for_its_own_family_alone() {
    let error = RaceMapper::new(nobody()).install(&IPV6, DEFAULT_TTL).await.unwrap_err();
    assert_eq!(error.to_string(), "family: `ipv6` is not `ipv4`, the only family that this client asks for");
}

#[cfg(target_os = "linux")]
#[path = "families_home.rs"]
mod home;
