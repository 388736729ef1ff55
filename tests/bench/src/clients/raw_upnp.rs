//! The floor of UPnP: search, description, GetExternalIPAddress, AddPortMapping, one after another on plain sockets,
//! with nothing but what the lab's router needs.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::{Attempt, Client, Failure, Kind, LIFETIME, Mapped, Protocol, World};

const SSDP: &str = "239.255.255.250:1900";
const SEARCH: &str = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
                      ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

/// The text between two others.
fn between<'text>(text: &'text str, start: &str, end: &str) -> io::Result<&'text str> {
    let from = text.find(start).ok_or_else(|| invalid(format!("no `{start}` in an answer")))? + start.len();
    let rest = &text[from..];
    rest.find(end).map(|to| rest[..to].trim()).ok_or_else(|| invalid(format!("no `{end}` behind `{start}`")))
}

/// Host and path of an `http` URL whose host is an address.
fn split(url: &str) -> io::Result<(SocketAddr, &str)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| invalid(format!("`{url}` is not http")))?;
    let at = rest.find('/').ok_or_else(|| invalid(format!("`{url}` has no path")))?;
    let host = rest[..at].parse().map_err(|_| invalid(format!("`{url}` has no address and port")))?;
    Ok((host, &rest[at..]))
}

/// One request, read to the close. Only status 200 is an answer.
fn http(host: SocketAddr, request: &str, cap: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&host, cap)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(cap))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    match answer.split_whitespace().nth(1) {
        Some("200") => Ok(answer),
        _ => Err(invalid(answer.lines().next().unwrap_or("an empty answer"))),
    }
}

/// The WAN connection of the router.
struct Service {
    host: SocketAddr,
    path: String,
    kind: String,
}

impl Service {
    fn call(&self, action: &str, arguments: &str, cap: Duration) -> io::Result<String> {
        let Self { host, path, kind } = self;
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{action} xmlns:u=\"{kind}\">\
             {arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n\
             SOAPAction: \"{kind}#{action}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        http(*host, &request, cap)
    }

    fn unmap(&self, port: u16, cap: Duration) -> io::Result<()> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort><NewProtocol>UDP</NewProtocol>"
        );
        self.call("DeletePortMapping", &arguments, cap).map(drop)
    }
}

fn chain(world: &World, port: u16) -> io::Result<(Service, IpAddr)> {
    let socket = UdpSocket::bind((world.local, 0))?;
    socket.set_read_timeout(Some(world.cap))?;
    socket.send_to(SEARCH.as_bytes(), SSDP)?;
    let mut answer = [0; 1500];
    let (length, _) = socket.recv_from(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    let location = answer
        .lines()
        .find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("location")))
        .map(|(_, url)| url.trim())
        .ok_or_else(|| invalid("no LOCATION in a search answer"))?;

    let (host, path) = split(location)?;
    let get = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let description = http(host, &get, world.cap)?;
    let kind_start = "<serviceType>urn:schemas-upnp-org:service:WANIPConnection:";
    let at = description.find(kind_start).ok_or_else(|| invalid("no WANIPConnection in the description"))?;
    let service = &description[at..];
    let service = Service {
        host,
        path: between(service, "<controlURL>", "</controlURL>")?.to_owned(),
        kind: between(service, "<serviceType>", "</serviceType>")?.to_owned(),
    };

    let answer = service.call("GetExternalIPAddress", "", world.cap)?;
    let address = between(&answer, "<NewExternalIPAddress>", "</NewExternalIPAddress>")?;
    let address = address.parse().map_err(|_| invalid(format!("`{address}` is not an address")))?;
    let arguments = format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort><NewProtocol>UDP</NewProtocol>\
         <NewInternalPort>{port}</NewInternalPort><NewInternalClient>{}</NewInternalClient><NewEnabled>1</NewEnabled>\
         <NewPortMappingDescription>bench</NewPortMappingDescription><NewLeaseDuration>{LIFETIME}</NewLeaseDuration>",
        world.local
    );
    service.call("AddPortMapping", &arguments, world.cap)?;
    Ok((service, address))
}

/// The whole chain.
pub(super) struct RawUpnp;

impl Client for RawUpnp {
    fn name(&self) -> &'static str {
        "raw SSDP + GET + 2 SOAP"
    }

    fn kind(&self) -> Kind {
        Kind::Floor
    }

    fn speaks(&self) -> &'static [Protocol] {
        &[Protocol::Upnp]
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        match chain(world, port) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Attempt::failed(Failure::Capped),
            Err(error) => Attempt::failed(Failure::Answer(error.to_string())),
            Ok((service, address)) => {
                Attempt::mapped(Mapped { address: Some(address), port, protocol: Some("upnp".to_owned()) }, move || {
                    service.unmap(port, world.cap).map_err(|error| error.to_string())
                })
            }
        }
    }
}
