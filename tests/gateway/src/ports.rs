//! The ports of the router: those of its NAT for IPv4, and those of its firewall for IPv6.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, UdpSocket};

use crate::layout::ROOT_PATH;
use crate::side::Side;
use crate::{Addresses, GatewayConfig, GatewayError, Ipv6Addresses, ssdp};

/// How often other numbers are tried until they are free over IPv4 and over IPv6.
const TRIES: usize = 16;

/// The open sockets of one half.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) datagram: UdpSocket,
    pub(crate) search: UdpSocket,
    pub(crate) web: TcpListener,
}

/// The port numbers of PCP, SSDP and the web server.
type Numbers = [u16; 3];

/// All that is open at the start.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) nat: Ports,
    pub(crate) firewall: Option<Ports>,
    /// Why there is no firewall although the settings ask for one.
    no_ipv6: Option<String>,
}

impl Opened {
    /// Opens all ports. Those for IPv6 have the numbers of those for IPv4, as on real routers.
    pub(crate) async fn open(config: &GatewayConfig) -> Result<Self, GatewayError> {
        let numbers = [config.pcp_port, config.ssdp_port, config.http_port];
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let nat = Ports::open(config.bind, numbers, config).await?;
            if !config.ipv6 {
                return Ok(Self { nat, firewall: None, no_ipv6: None });
            }
            match Ports::open(config.ipv6_bind, nat.numbers()?, config).await {
                Ok(firewall) => return Ok(Self { nat, firewall: Some(firewall), no_ipv6: None }),
                Err(GatewayError::Bind { source, .. }) if is_taken(&source) && numbers.contains(&0) && tries > 0 => {}
                // An address that the caller has named must be had.
                Err(GatewayError::Bind { source, address, .. })
                    if !is_taken(&source) && config.ipv6_bind == Ipv6Addr::LOCALHOST =>
                {
                    let no_ipv6 = Some(format!("{} cannot be bound: {source}", address.ip()));
                    return Ok(Self { nat, firewall: None, no_ipv6 });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the router listens now.
    pub(crate) fn addresses(&self, config: &GatewayConfig) -> Result<Addresses, GatewayError> {
        let http_address = self.nat.web.local_addr()?;
        let ipv6 = self.firewall.as_ref().map(|ports| ports.ipv6_addresses(config)).transpose()?;
        Ok(Addresses {
            gateway: config.bind,
            pcp_port: self.nat.datagram.local_addr()?.port(),
            ssdp_address: self.nat.search.local_addr()?,
            http_address,
            description_url: description_url(http_address),
            ipv6,
            no_ipv6: self.no_ipv6.clone(),
        })
    }
}

/// Whether another number may do: Windows reserves some for itself and refuses them.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

impl Ports {
    async fn open(address: IpAddr, [pcp, search, web]: Numbers, config: &GatewayConfig) -> Result<Self, GatewayError> {
        let at = |port| SocketAddr::new(address, port);
        Ok(Self { datagram: udp(at(pcp)).await?, search: search_socket(config, at(search))?, web: tcp(at(web)).await? })
    }

    fn numbers(&self) -> io::Result<Numbers> {
        Ok([self.datagram.local_addr()?.port(), self.search.local_addr()?.port(), self.web.local_addr()?.port()])
    }

    fn ipv6_addresses(&self, config: &GatewayConfig) -> io::Result<Ipv6Addresses> {
        let http_address = self.web.local_addr()?;
        Ok(Ipv6Addresses {
            gateway: config.ipv6_bind,
            pcp_port: self.datagram.local_addr()?.port(),
            ssdp_address: self.search.local_addr()?,
            http_address,
            description_url: description_url(http_address),
            multicast: config.ssdp_multicast && ssdp::multicast_socket(config.ipv6_bind).is_ok(),
        })
    }
}

/// Where the servers of one half listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) pcp: SocketAddr,
    pub(crate) ssdp: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Addresses {
    /// Those of one half; a router without a firewall has only one.
    pub(crate) fn on(&self, side: Side) -> Places {
        match &self.ipv6 {
            Some(ipv6) if side == Side::Firewall => Places {
                pcp: SocketAddr::new(ipv6.gateway, ipv6.pcp_port),
                ssdp: ipv6.ssdp_address,
                http: ipv6.http_address,
            },
            _ => Places {
                pcp: SocketAddr::new(self.gateway, self.pcp_port),
                ssdp: self.ssdp_address,
                http: self.http_address,
            },
        }
    }

    /// Notes that the web server of one half has moved.
    pub(crate) fn move_http(&mut self, side: Side, to: SocketAddr) {
        let (address, url) = match &mut self.ipv6 {
            Some(ipv6) if side == Side::Firewall => (&mut ipv6.http_address, &mut ipv6.description_url),
            _ => (&mut self.http_address, &mut self.description_url),
        };
        *address = to;
        *url = description_url(to);
    }
}

/// The socket of PCP and NAT-PMP.
pub(crate) async fn udp(address: SocketAddr) -> Result<UdpSocket, GatewayError> {
    let what = "the PCP port";
    UdpSocket::bind(address).await.map_err(|source| GatewayError::Bind { what, address, source })
}

/// Beside the group's socket the port may be the same.
pub(crate) fn search_socket(config: &GatewayConfig, address: SocketAddr) -> Result<UdpSocket, GatewayError> {
    ssdp::socket(address, config.ssdp_multicast).map_err(|source| GatewayError::Bind {
        what: "the SSDP port",
        address,
        source,
    })
}

/// The socket of the web server.
pub(crate) async fn tcp(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address).await.map_err(|source| GatewayError::Bind { what: "the web server", address, source })
}

/// The URL of the device description.
fn description_url(http: SocketAddr) -> String {
    format!("http://{http}{ROOT_PATH}")
}
