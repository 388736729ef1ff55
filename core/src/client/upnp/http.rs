//! HTTP as routers speak it: one request on one connection, written in one piece, with a deadline and with limits.
//!
//! Header names keep their exact case, because some routers compare bytes. Answers are read leniently: chunked, counted
//! or to the end of the connection; any header case; lines that end in LF alone; interim 1xx answers.

use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use url::{Host, Url};

use crate::client::trace::Traced;
use crate::escape::misleads;
use crate::mapping::Protocol;

/// The largest body that is read. Descriptions above 16 KB exist.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// The longest status line and headers that are read, interim answers included.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// The longest line that gives a chunk's size.
const MAX_CHUNK_LINE: usize = 256;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status code.
    pub status: u16,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Display for Response {
    /// For the log: `200, 2345 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.status, self.body.len())
    }
}

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

/// Reads an answer piece by piece. Pure: no I/O.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// The line or head that is being read.
    pending: Vec<u8>,
    /// Bytes of heads and framing so far.
    overhead: usize,
    status: u16,
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Counted(usize),
    ChunkSize { first: bool },
    Chunk(usize),
    ChunkEnd,
    Trailer,
    ToClose,
    Done,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Head, pending: Vec::new(), overhead: 0, status: 0, body: Vec::new() }
    }
}

impl Decoder {
    /// Takes what was received. `Ok(true)`: the answer is complete, the rest is not needed.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, HttpError> {
        while !bytes.is_empty() && self.state != State::Done {
            match self.state {
                State::Counted(left) => {
                    let taken = self.take(&mut bytes, left)?;
                    self.state = if taken == left { State::Done } else { State::Counted(left - taken) };
                }
                State::Chunk(left) => {
                    let taken = self.take(&mut bytes, left)?;
                    self.state = if taken == left { State::ChunkEnd } else { State::Chunk(left - taken) };
                }
                State::ToClose => {
                    self.take(&mut bytes, usize::MAX)?;
                }
                State::Head | State::ChunkSize { .. } | State::ChunkEnd | State::Trailer => self.line(&mut bytes)?,
                State::Done => {}
            }
        }
        Ok(self.state == State::Done)
    }

    /// The connection has ended. A body that is shorter than announced is accepted where there is some of it.
    pub(crate) fn finish(self) -> Result<Response, HttpError> {
        match self.state {
            State::Head => Err(malformed("the connection ended before the answer's head did")),
            State::Counted(_) | State::Chunk(_) | State::ChunkSize { .. } if self.body.is_empty() => {
                Err(malformed("the connection ended before the answer's body came"))
            }
            _ => Ok(Response { status: self.status, body: self.body }),
        }
    }

    /// Moves up to `limit` bytes to the body.
    fn take(&mut self, bytes: &mut &[u8], limit: usize) -> Result<usize, HttpError> {
        let (now, rest) = bytes.split_at(bytes.len().min(limit));
        if self.body.len() + now.len() > MAX_BODY {
            return Err(too_large());
        }
        self.body.extend_from_slice(now);
        *bytes = rest;
        Ok(now.len())
    }

    /// Reads up to the end of a line and acts on the line, if it is complete.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<(), HttpError> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let mut length = end.map_or(bytes.len(), |end| end + 1);
        if matches!(self.state, State::ChunkSize { .. }) {
            // A line that is too long is judged at the same byte, however the network has cut it.
            length = length.min(MAX_CHUNK_LINE + 1 - self.pending.len());
        }
        let (now, rest) = bytes.split_at(length);
        let complete = now.last() == Some(&b'\n');
        self.pending.extend_from_slice(now);
        *bytes = rest;
        self.overhead += now.len();
        let limit = if self.state == State::Head { MAX_HEAD } else { MAX_HEAD + MAX_BODY };
        if self.overhead > limit {
            return Err(malformed(format!("the answer's head is longer than {MAX_HEAD} bytes")));
        }
        match self.state {
            State::Head if complete && ends_with_empty_line(&self.pending) => {
                let head = std::mem::take(&mut self.pending);
                self.head(&head)?;
            }
            State::ChunkSize { first } if complete || self.pending.len() > MAX_CHUNK_LINE => {
                let line = std::mem::take(&mut self.pending);
                self.chunk_size(&line, first, complete)?;
            }
            // The line end behind a chunk, or the trailer: an empty line ends each.
            State::ChunkEnd | State::Trailer if complete => {
                let line = std::mem::take(&mut self.pending);
                self.state = match self.state {
                    State::ChunkEnd => State::ChunkSize { first: false },
                    _ if line.trim_ascii().is_empty() => State::Done,
                    _ => State::Trailer,
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn head(&mut self, head: &[u8]) -> Result<(), HttpError> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.lines().map(str::trim_end).skip_while(|line| line.is_empty());
        // Empty lines before the status line are skipped; with nothing behind them there is nothing to judge yet.
        let Some(status_line) = lines.next() else { return Ok(()) };
        let mut words = status_line.split_ascii_whitespace();
        let version = words.next().unwrap_or_default();
        let status = words.next().and_then(|word| word.parse::<u16>().ok());
        let (true, Some(status)) = (version.get(..5).is_some_and(|v| v.eq_ignore_ascii_case("HTTP/")), status) else {
            return Err(malformed(format!("the answer does not begin like HTTP: `{}`", shown(status_line))));
        };
        if (100..200).contains(&status) {
            return Ok(());
        }
        self.status = status;
        let mut chunked = false;
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("Transfer-Encoding") {
                chunked |= value.to_ascii_lowercase().contains("chunked");
            } else if name.eq_ignore_ascii_case("Content-Length") {
                // A length that is no number is no length: the connection's end will tell.
                length = length.or_else(|| value.parse::<u64>().ok());
            }
        }
        self.state = match length {
            _ if status == 204 || status == 304 => State::Done,
            _ if chunked => State::ChunkSize { first: true },
            Some(0) => State::Done,
            Some(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BODY);
                State::Counted(length.ok_or_else(too_large)?)
            }
            None => State::ToClose,
        };
        Ok(())
    }

    fn chunk_size(&mut self, line: &[u8], first: bool, complete: bool) -> Result<(), HttpError> {
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.filter(|_| complete);
        self.state = match size {
            Some(0) => State::Trailer,
            Some(size) if size <= MAX_BODY => State::Chunk(size),
            Some(_) => return Err(too_large()),
            // Says chunked and is not.
            None if first => {
                let mut plain = line;
                self.take(&mut plain, usize::MAX)?;
                State::ToClose
            }
            None => return Err(malformed(format!("a chunk begins with `{}`", shown(&String::from_utf8_lossy(line))))),
        };
        Ok(())
    }
}

/// Reads an answer that is here as a whole.
#[cfg(any(fuzzing, test))]
pub(crate) fn parse_response(bytes: &[u8]) -> Result<Response, HttpError> {
    let mut decoder = Decoder::default();
    decoder.feed(bytes)?;
    decoder.finish()
}

fn ends_with_empty_line(head: &[u8]) -> bool {
    head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") || head == b"\r\n" || head == b"\n"
}

fn malformed(message: impl Into<String>) -> HttpError {
    HttpError::Malformed(message.into())
}

fn too_large() -> HttpError {
    malformed(format!("the answer's body is longer than {MAX_BODY} bytes"))
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
pub(super) fn endpoint(url: &Url) -> Option<SocketAddr> {
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
pub(super) fn at_host(url: &Url, host: IpAddr) -> Option<Url> {
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
