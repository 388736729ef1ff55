//! The web server of the UPnP device: HTTP/1.1, one request a connection, answers in every style that routers have.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::layout::{self, Device, ROOT_PATH, Service};
use crate::shared::Shared;
use crate::side::Side;
use crate::soap::{self, Error};
use crate::{Faults, HttpBody, Mode, Protocol, control, description};

const MAX_HEADERS: usize = 16 * 1024;
const MAX_BODY: usize = 64 * 1024;
/// How long a client may take to send its request.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take to be sent, endless ones included.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection is held open in silence.
const SILENCE: Duration = Duration::from_secs(60);
const MAX_CONNECTIONS: usize = 256;
/// What the `oversized` style puts before the body: more than 1 MiB.
const OVERSIZE: usize = 1200 * 1024;

/// A request as it came.
#[derive(Debug, Default)]
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Headers and body came in one read.
    in_one_piece: bool,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the headers are written as strict routers want them.
    fn is_strict(&self) -> bool {
        const NAMES: [&str; 4] = ["Host", "Content-Type", "Content-Length", "SOAPAction"];
        let as_written =
            |name: &str| NAMES.contains(&name) || NAMES.iter().all(|standard| !standard.eq_ignore_ascii_case(name));
        let quoted = self.header("SOAPAction").is_none_or(|value| value.starts_with('"') && value.ends_with('"'));
        quoted && self.headers.iter().all(|(name, _)| as_written(name))
    }
}

struct Response {
    status: &'static str,
    body: Vec<u8>,
    location: Option<String>,
    style: HttpBody,
    /// It is never sent: the connection stays open without a word.
    withheld: bool,
}

impl Response {
    fn new(status: &'static str, body: impl Into<Vec<u8>>, style: HttpBody) -> Self {
        Self { status, body: body.into(), location: None, style, withheld: false }
    }
}

/// Serves connections on `listener` until dropped.
pub(crate) async fn serve(shared: Arc<Shared>, side: Side, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(shared.clone(), side, stream, peer));
                }
                // Out of file descriptors, most likely: others must end first.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(shared: Arc<Shared>, side: Side, mut stream: TcpStream, peer: SocketAddr) {
    if shared.look(|state| state.is_stranger(peer)) {
        return hold(stream).await;
    }
    let turn = shared.turn_in_web_server().await;
    let Ok(Ok(request)) = timeout(READ_TIMEOUT, read(&mut stream)).await else {
        shared.arrived("malformed", peer, false);
        return;
    };
    let pause = shared.look(|state| state.faults.http_processing_ms);
    if pause > 0 {
        sleep(Duration::from_millis(pause)).await;
    }
    let processing = shared.turn_at_processor().await;
    let faults = shared.look(|state| state.faults.clone());
    let response = respond(&shared, side, &faults, &request, peer);
    shared.settle().await;
    drop(processing);
    if response.withheld || faults.http_mode(side) == Mode::Silent {
        // Nobody else waits for an answer that is lost.
        drop(turn);
        return hold(stream).await;
    }
    sleep(Duration::from_millis(faults.http_delay_ms)).await;
    // A client that hangs up early has had enough: nothing to tell anybody.
    let _ = timeout(WRITE_TIMEOUT, write(&mut stream, &faults, &response)).await;
}

/// Keeps a connection open without a word until the client hangs up.
async fn hold(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    // What the client still sends is read and forgotten.
    let hung_up = async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} };
    // A client that is more patient than this is let go as if the router had restarted.
    let _ = timeout(SILENCE, hung_up).await;
}

/// Reads one request. Anything that is none is an error.
async fn read(stream: &mut TcpStream) -> io::Result<Request> {
    let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    // Room for all of it, so that what came in one segment is read at once.
    let mut buffer = Vec::with_capacity(MAX_HEADERS + MAX_BODY);
    let mut reads = 0;
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if buffer.len() > MAX_HEADERS {
            return Err(invalid("headers too long"));
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(invalid("connection closed in the headers"));
        }
        reads += 1;
    };
    let head = std::str::from_utf8(&buffer[..end]).map_err(|_| invalid("headers are not text"))?;
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path), Some(version), None) =
        (request_line.next(), request_line.next(), request_line.next(), request_line.next())
    else {
        return Err(invalid("not a request line"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(invalid("not HTTP/1"));
    }
    let mut request = Request { method: method.into(), path: path.into(), ..Request::default() };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header without colon"))?;
        request.headers.push((name.into(), value.trim().into()));
    }
    let length = match request.header("Content-Length") {
        Some(length) => length.parse::<usize>().map_err(|_| invalid("Content-Length is not a number"))?,
        None => 0,
    };
    if length > MAX_BODY {
        return Err(invalid("body too long"));
    }
    let mut body = buffer.split_off(end + 4);
    request.in_one_piece = reads == 1 && body.len() >= length;
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(invalid("connection closed in the body"));
        }
    }
    body.truncate(length);
    request.body = body;
    Ok(request)
}

fn respond(shared: &Shared, side: Side, faults: &Faults, request: &Request, peer: SocketAddr) -> Response {
    let devices = layout::devices(&shared.config, faults);
    let count = |kind: &str| shared.arrived(kind, peer, false);
    let plain = |status| Response::new(status, Vec::new(), HttpBody::Normal);
    // The absolute form of a URL is as good as the path (RFC 9112, 3.2).
    let path = match request.path.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => request.path.as_str(),
    };
    if faults.strict_headers && !request.is_strict() {
        count("malformed");
        return plain("400 Bad Request");
    }
    match request.method.as_str() {
        "GET" => match find_document(&devices, path) {
            Some(document) => {
                count(match document {
                    Document::Description(_) => "http_description",
                    Document::Scpd(_) => "http_scpd",
                });
                get(shared, side, faults, document)
            }
            None => {
                count("http_other");
                plain("404 Not Found")
            }
        },
        "POST" => match devices.iter().flat_map(Device::services).find(|service| service.control == path) {
            Some(service) => post(shared, side, faults, service, request, peer),
            None => {
                count("http_other");
                plain("404 Not Found")
            }
        },
        _ => {
            count("http_other");
            plain("501 Not Implemented")
        }
    }
}

enum Document<'a> {
    Description(&'a Device),
    Scpd(&'a Service),
}

fn find_document<'a>(devices: &'a [Device], path: &str) -> Option<Document<'a>> {
    devices.iter().find_map(|device| {
        if path.strip_prefix(device.prefix) == Some(ROOT_PATH) {
            return Some(Document::Description(device));
        }
        device.services().find(|service| service.scpd == path).map(Document::Scpd)
    })
}

fn get(shared: &Shared, side: Side, faults: &Faults, document: Document<'_>) -> Response {
    if let Some(url) = &faults.redirect {
        let mut response = Response::new("302 Found", Vec::new(), HttpBody::Normal);
        response.location = Some(url.clone());
        return response;
    }
    match document {
        Document::Description(device) => {
            let address = shared.look(|state| state.addresses.on(side).http);
            let body = description::document(&shared.config, faults, device, address);
            Response::new("200 OK", body, faults.http_body)
        }
        Document::Scpd(_) if faults.scpd_missing => Response::new("404 Not Found", Vec::new(), HttpBody::Normal),
        Document::Scpd(service) => Response::new("200 OK", description::scpd(service), faults.http_body),
    }
}

fn post(
    shared: &Shared,
    side: Side,
    faults: &Faults,
    service: &Service,
    request: &Request,
    peer: SocketAddr,
) -> Response {
    if faults.control_missing {
        shared.arrived("http_other", peer, false);
        return Response::new("404 Not Found", Vec::new(), HttpBody::Normal);
    }
    if faults.single_read && !request.in_one_piece {
        shared.arrived("malformed", peer, false);
        return Response::new("400 Bad Request", Vec::new(), HttpBody::Normal);
    }
    let style = faults.control_body.unwrap_or(faults.http_body);
    let fault = |error: Error| {
        let status = if faults.fault_status_200 { "200 OK" } else { "500 Internal Server Error" };
        Response::new(status, error.document(!faults.no_error_description), style)
    };
    let call = match soap::parse(request.header("SOAPAction"), &request.body) {
        Ok(call) => call,
        Err(error) => {
            shared.arrived("malformed", peer, false);
            return fault(error);
        }
    };
    shared.arrived(&format!("soap_{}", call.action), peer, false);
    // A silent server does nothing either.
    if faults.http_mode(side) == Mode::Silent {
        return fault(soap::ACTION_FAILED);
    }
    let mut response = match control::execute(shared, side, service, &call, peer) {
        Ok(body) => Response::new("200 OK", body, style),
        Err(error) => fault(error),
    };
    response.withheld = control::hangs(&call, faults)
        || (control::changes_table(&call) && shared.with(|state| state.loses_outcome(Protocol::Upnp)));
    response
}

async fn write(stream: &mut TcpStream, faults: &Faults, response: &Response) -> io::Result<()> {
    let style = response.style;
    let mut body = response.body.clone();
    if style == HttpBody::Oversized {
        // Behind the XML declaration, where a comment may stand.
        let at = body.windows(2).position(|window| window == b"?>").map_or(0, |found| found + 2);
        let comment = format!("<!-- {} -->", "x".repeat(OVERSIZE));
        body.splice(at..at, comment.into_bytes());
    }
    let mut bytes = head(faults, response, body.len());
    match style {
        HttpBody::NeverEnding => {
            bytes.extend(&body);
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(&[b' '; 1024]).await?;
                sleep(Duration::from_millis(5)).await;
            }
        }
        HttpBody::Chunked => {
            for chunk in body.chunks(100) {
                bytes.extend(format!("{:x};ext=1\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\nX-Trailer: none\r\n\r\n");
        }
        HttpBody::Reset | HttpBody::Truncated => bytes.extend(&body[..body.len() / 2]),
        _ => bytes.extend(&body),
    }
    stream.write_all(&bytes).await?;
    if style == HttpBody::Reset {
        // Closing without lingering sends a reset.
        return socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
    }
    stream.shutdown().await
}

fn head(faults: &Faults, response: &Response, length: usize) -> Vec<u8> {
    let content_type = faults.content_type.as_deref().unwrap_or("text/xml; charset=\"utf-8\"");
    let mut headers = vec![
        ("Content-Type", content_type.to_owned()),
        ("Connection", "close".to_owned()),
        ("Server", format!("portlease-gateway/{} UPnP/1.1", env!("CARGO_PKG_VERSION"))),
        ("Ext", String::new()),
    ];
    match response.style {
        HttpBody::NoLength | HttpBody::NeverEnding => {}
        HttpBody::Chunked => headers.push(("Transfer-Encoding", "chunked".into())),
        HttpBody::BadLength => headers.push(("Content-Length", "many".into())),
        _ => headers.push(("Content-Length", length.to_string())),
    }
    if response.style == HttpBody::HugeHeaders {
        headers.push(("X-Padding", "x".repeat(MAX_HEADERS + 1024)));
    }
    if let Some(location) = &response.location {
        headers.push(("Location", location.clone()));
    }
    let end = if response.style == HttpBody::LfOnly { "\n" } else { "\r\n" };
    let mut head = format!("HTTP/1.1 {}{end}", response.status);
    for (name, value) in headers {
        let name = if faults.lowercase_headers { name.to_ascii_lowercase() } else { name.to_owned() };
        head.push_str(&format!("{name}: {value}{end}"));
    }
    head.push_str(end);
    head.into_bytes()
}
