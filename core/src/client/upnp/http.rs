//! HTTP as routers speak it: one request on one connection, written in one piece, with a deadline and with limits.
//!
//! Header names keep their exact case, because some routers compare bytes. Answers are read leniently: chunked, counted
//! or to the end of the connection; any header case; lines that end in LF alone; interim 1xx answers.

mod decode;

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use url::{Host, Url};

use self::decode::malformed;
#[cfg(any(fuzzing, test))]
pub(crate) use self::decode::parse_response;
pub(crate) use self::decode::{Decoder, Response};
use crate::client::trace::Traced;
use crate::escape::misleads;
use crate::mapping::Protocol;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The deadline passed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// Nobody listens on that port (any more).
    #[error("connection refused")]
    Refused(#[source] io::Error),
    /// Another error of the socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer does not speak HTTP, or says more than is read.
    #[error("{0}")]
    Malformed(String),
}

/// The most characters of what a peer said that a message repeats.
const MAX_SHOWN: usize = 100;

/// A piece of what a peer said, fit for a message: short, on one line, and without characters that show the rest of the
/// line in another order.
pub(super) fn shown(text: &str) -> String {
    let clean: String = text.trim().chars().map(|c| if misleads(c) { ' ' } else { c }).collect();
    match clean.char_indices().nth(MAX_SHOWN) {
        Some((cut, _)) => format!("{}...", &clean[..cut]),
        None => clean,
    }
}

/// The address in a URL that is safe to ask: `http`, an IP literal, a port, no credentials. Names are never looked up.
pub(crate) fn endpoint(url: &Url) -> Option<SocketAddr> {
    if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let ip = match url.host()? {
        Host::Ipv4(ip) => IpAddr::V4(ip),
        Host::Ipv6(ip) => IpAddr::V6(ip),
        Host::Domain(_) => return None,
    };
    url.port_or_known_default().filter(|port| *port != 0).map(|port| SocketAddr::new(ip, port))
}

/// The same port and path on another host. `None` if that is not safe to ask either.
pub(crate) fn at_host(url: &Url, host: IpAddr) -> Option<Url> {
    let mut url = url.clone();
    url.set_ip_host(host).ok()?;
    endpoint(&url).is_some().then_some(url)
}

/// One request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Where to; must have an [`endpoint`].
    pub(super) url: &'a Url,
    /// The local address to send from.
    pub(super) local: Option<IpAddr>,
    /// The interface by which link-local addresses are reached: its index, or 0. A URL has no place for it (RFC 6874).
    pub(super) scope: u32,
    /// The value of `SOAPAction`, quotes included, and the body. `None` makes it a GET.
    pub(super) action: Option<(&'a str, &'a str)>,
    /// The time for everything together.
    pub(super) deadline: Duration,
}

/// An answer, and the local address of the connection that brought it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) response: Response,
    pub(super) local: IpAddr,
}

/// Sends one request and reads the answer. No redirect is followed.
pub(super) async fn send(request: &Request<'_>) -> Result<Reply, HttpError> {
    let traced = traced(request, || format!("GET {}", shown(path(request.url))));
    let outcome = send_noting(request, &AtomicBool::new(false)).await;
    traced.ended(outcome.as_ref().map(|reply| &reply.response));
    outcome
}

/// The exchange for the log; `asked` is called only if somebody listens.
pub(super) fn traced<A: Display>(request: &Request<'_>, asked: impl FnOnce() -> A) -> Traced<A> {
    match endpoint(request.url) {
        Some(peer) => Traced::begin(Protocol::Upnp, peer, asked),
        // It will not be asked.
        None => Traced::silent(),
    }
}

/// As [`send`]; notes in `sent` when the request begins to leave this machine: from then on it may have had an effect,
/// whether it is answered or not.
pub(super) async fn send_noting(request: &Request<'_>, sent: &AtomicBool) -> Result<Reply, HttpError> {
    let exchange = exchange(request, sent);
    tokio::time::timeout(request.deadline, exchange).await.unwrap_or(Err(HttpError::Timeout(request.deadline)))
}

async fn exchange(request: &Request<'_>, sent: &AtomicBool) -> Result<Reply, HttpError> {
    let peer = endpoint(request.url).ok_or_else(|| malformed(format!("{} is no safe address", request.url)))?;
    let mut stream = connect(scoped(peer, request.scope), request.local).await?;
    let local = stream.local_addr()?.ip();
    sent.store(true, Ordering::Relaxed);
    let written = stream.write_all(message(request, peer).as_bytes()).await;
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut received = 0;
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(count) => count,
            // A router may reset the connection behind its answer.
            Err(_) if received > 0 => 0,
            Err(error) => return Err(written.err().unwrap_or(error).into()),
        };
        received += count;
        if count == 0 {
            if received == 0
                && let Err(error) = written
            {
                return Err(error.into());
            }
            return decoder.finish().map(|response| Reply { response, local });
        }
        if decoder.feed(&buffer[..count])? {
            return decoder.finish().map(|response| Reply { response, local });
        }
    }
}

/// The address with the interface by which it is reached, if it is link-local.
pub(super) fn scoped(address: SocketAddr, scope: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(mut address) if address.ip().is_unicast_link_local() => {
            address.set_scope_id(scope);
            address.into()
        }
        address => address,
    }
}

async fn connect(peer: SocketAddr, local: Option<IpAddr>) -> Result<TcpStream, HttpError> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(local) = local.filter(|local| local.is_ipv4() == peer.is_ipv4()) {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    let stream = socket.connect(peer).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => HttpError::Refused(error),
        _ => HttpError::Io(error),
    })?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn path(url: &Url) -> &str {
    &url[url::Position::BeforePath..url::Position::AfterQuery]
}

/// Headers and body in one piece: some routers read once and answer what they got.
fn message(request: &Request<'_>, peer: SocketAddr) -> String {
    let path = path(request.url);
    let agent = concat!("portlease/", env!("CARGO_PKG_VERSION"), " UPnP/1.1");
    match request.action {
        None => format!("GET {path} HTTP/1.1\r\nHost: {peer}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"),
        Some((action, body)) => format!(
            "POST {path} HTTP/1.1\r\nHost: {peer}\r\nUser-Agent: {agent}\r\n\
             Content-Type: text/xml; charset=\"utf-8\"\r\nContent-Length: {}\r\nSOAPAction: {action}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        ),
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
