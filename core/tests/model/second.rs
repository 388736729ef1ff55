//! A second client on our host, which speaks to the router in messages written by hand: never by way of core.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use portlease_gateway::{Gateway, Mapping, Protocol, Transport};

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_millis(150);
const DESCRIPTION: &str = "second client";
const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

/// What it asks for. A lifetime of 0 deletes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) protocol: Protocol,
    pub(crate) transport: Transport,
    pub(crate) external_port: u16,
    pub(crate) internal_port: u16,
    pub(crate) lifetime: u32,
    pub(crate) nonce: [u8; 12],
}

impl Wish {
    /// The wish that renews or deletes what a wish has made.
    pub(crate) fn of(mapping: &Mapping, lifetime: u32) -> Self {
        Self {
            protocol: mapping.protocol,
            transport: mapping.transport,
            external_port: mapping.external_port,
            internal_port: mapping.internal.port(),
            lifetime,
            nonce: mapping.nonce.as_deref().map_or([0; 12], read_nonce),
        }
    }

    /// Asks once. False if no answer came: nobody knows what came of it then, or what will.
    pub(crate) fn ask(&self, gateway: &Gateway) -> bool {
        match self.protocol {
            Protocol::Pcp => datagram(gateway, &self.pcp()),
            Protocol::NatPmp => datagram(gateway, &self.nat_pmp()),
            Protocol::Upnp | Protocol::Static => self.upnp(gateway),
        }
    }

    /// RFC 6887 7.1 and 11.1.
    fn pcp(&self) -> Vec<u8> {
        let mut message = vec![2, 1, 0, 0];
        message.extend(self.lifetime.to_be_bytes());
        message.extend(Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets());
        message.extend(self.nonce);
        message.extend([if self.transport == Transport::Udp { 17 } else { 6 }, 0, 0, 0]);
        message.extend(self.internal_port.to_be_bytes());
        message.extend(self.external_port.to_be_bytes());
        message.extend(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
        message
    }

    /// RFC 6886 3.3 and 3.4.
    fn nat_pmp(&self) -> Vec<u8> {
        let mut message = vec![0, if self.transport == Transport::Udp { 1 } else { 2 }, 0, 0];
        message.extend(self.internal_port.to_be_bytes());
        message.extend(if self.lifetime == 0 { 0 } else { self.external_port }.to_be_bytes());
        message.extend(self.lifetime.to_be_bytes());
        message
    }

    /// WANIPConnection 2.4.16 and 2.4.17.
    fn upnp(&self, gateway: &Gateway) -> bool {
        let transport = self.transport.to_string().to_uppercase();
        let mut arguments = vec![
            ("NewRemoteHost", String::new()),
            ("NewExternalPort", self.external_port.to_string()),
            ("NewProtocol", transport),
        ];
        let action = if self.lifetime == 0 { "DeletePortMapping" } else { "AddPortMapping" };
        if self.lifetime > 0 {
            arguments.extend([
                ("NewInternalPort", self.internal_port.to_string()),
                ("NewInternalClient", Ipv4Addr::LOCALHOST.to_string()),
                ("NewEnabled", "1".to_owned()),
                ("NewPortMappingDescription", DESCRIPTION.to_owned()),
                ("NewLeaseDuration", self.lifetime.to_string()),
            ]);
        }
        soap(gateway.http_address(), action, &arguments)
    }
}

fn read_nonce(hex: &str) -> [u8; 12] {
    std::array::from_fn(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).expect("hexadecimal"))
}

fn datagram(gateway: &Gateway, message: &[u8]) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.connect((gateway.address(), gateway.pcp_port())).expect("loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.send(message).and_then(|_| socket.recv(&mut [0; 1100])).is_ok()
}

fn soap(address: SocketAddr, action: &str, arguments: &[(&str, String)]) -> bool {
    let arguments: String = arguments.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    let body = format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
         <u:{action} xmlns:u=\"{SERVICE}\">{arguments}</u:{action}></s:Body></s:Envelope>"
    );
    let request = format!(
        "POST /ctl/IPConn HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\
         SOAPAction: \"{SERVICE}#{action}\"\r\n\r\n{body}",
        body.len()
    );
    let exchange = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        stream.read_to_end(&mut Vec::new())
    };
    exchange().is_ok_and(|length| length > 0)
}
