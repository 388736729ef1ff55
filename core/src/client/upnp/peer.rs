//! A small router for tests: one SSDP socket and any number of web servers, all on loopback, that answer as they are told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::peer_table::router;
use super::{UpnpConfig, UpnpMapper};

pub(super) const IP1: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
pub(super) const IP2: &str = "urn:schemas-upnp-org:service:WANIPConnection:2";

/// A request as a web server saw it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The action's name; empty for a GET.
    pub(super) action: String,
    pub(super) path: String,
    /// The header of this name.
    pub(super) host: String,
    pub(super) from: IpAddr,
    body: String,
}

impl Call {
    /// An input argument, as it stands in the XML.
    pub(super) fn argument(&self, name: &str) -> &str {
        let start = self.body.find(&format!("<{name}>")).map(|at| at + name.len() + 2);
        start.map_or("", |start| self.body[start..].split('<').next().unwrap())
    }

    /// `AddPortMapping 4000 3600`: action, external port and lease as far as there are any.
    pub(super) fn short(&self) -> String {
        let parts = [self.action.as_str(), self.argument("NewExternalPort"), self.argument("NewLeaseDuration")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Decides about an answer; `None` is what a healthy router would say.
type Rule = Box<dyn Fn(&Call) -> Option<String> + Send + Sync>;

/// A web server. Ends when it is dropped.
pub(super) struct Web {
    pub(super) address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    busy: Arc<Busy>,
    _tasks: JoinSet<()>,
}

/// The actions that are being answered.
#[derive(Debug, Default)]
struct Busy {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Web {
    /// A router whose description has these services (type and control path).
    pub(super) async fn start(
        services: &[(&str, &str)],
        rule: impl Fn(&Call) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), services, rule).await
    }

    pub(super) async fn start_at(
        address: SocketAddr,
        services: &[(&str, &str)],
        rule: impl Fn(&Call) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let rule: Arc<Rule> = Arc::new(Box::new(rule));
        let page = Arc::new(description(services));
        let mut tasks = JoinSet::new();
        let (log, busy) = (Arc::clone(&calls), Arc::<Busy>::default());
        let counts = Arc::clone(&busy);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, rule, page, counts) = (log.clone(), rule.clone(), page.clone(), counts.clone());
                connections.spawn(serve(stream, log, rule, page, counts));
            }
        });
        Self { address, calls, busy, _tasks: tasks }
    }

    /// The most actions that were ever under way together.
    pub(super) fn most_at_once(&self) -> usize {
        self.busy.most.load(Ordering::Relaxed)
    }

    /// Waits until an action has come that changes the router's table.
    pub(super) async fn changed(&self) {
        while self.changes().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// The requests so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The actions so far that change the router's table, in short.
    pub(super) fn changes(&self) -> Vec<String> {
        let changes = ["AddPortMapping", "AddAnyPortMapping", "DeletePortMapping"];
        self.calls().iter().filter(|call| changes.contains(&&*call.action)).map(Call::short).collect()
    }

    pub(super) fn location(&self) -> String {
        format!("http://{}/desc.xml", self.address)
    }
}

/// SSDP: answers every search for an IGD with these locations, one datagram each. Ends when it is dropped.
pub(super) struct Ssdp {
    pub(super) address: SocketAddr,
    answers: Arc<Mutex<Vec<Answer>>>,
    searches: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// What one host of 127.0.0.0/8 answers to every search for an IGD.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) from: IpAddr,
    pub(super) text: String,
    /// How long after the search.
    pub(super) after: Duration,
}

impl Ssdp {
    pub(super) async fn start(locations: Vec<String>) -> Self {
        let st = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
        Self::start_with(locations.into_iter().map(|location| answer(&location, st)).collect()).await
    }

    pub(super) async fn start_with(answers: Vec<String>) -> Self {
        Self::start_among(from_this_host(answers)).await
    }

    /// Answers later searches with this location instead.
    pub(super) fn announce(&self, location: &str) {
        let st = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
        let answer = Answer { from: self.address.ip(), text: answer(location, st), after: Duration::ZERO };
        *self.answers.lock().unwrap() = vec![answer];
    }

    /// A network of several hosts, which all hear the search.
    pub(super) async fn start_among(answers: Vec<Answer>) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), answers).await
    }

    pub(super) async fn start_at(host: IpAddr, answers: Vec<Answer>) -> Self {
        let socket = UdpSocket::bind((host, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let searches = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&searches);
        let answers = Arc::new(Mutex::new(answers));
        let present = Arc::clone(&answers);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 2048];
            let mut under_way = JoinSet::new();
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                if String::from_utf8_lossy(&buffer[..length]).contains("InternetGatewayDevice:1") {
                    count.fetch_add(1, Ordering::Relaxed);
                    let answers = present.lock().unwrap().clone();
                    for answer in answers {
                        let socket = UdpSocket::bind((answer.from, 0)).await.unwrap();
                        under_way.spawn(async move {
                            tokio::time::sleep(answer.after).await;
                            // The client may be gone by now.
                            let _ = socket.send_to(answer.text.as_bytes(), client).await;
                        });
                    }
                }
            }
        });
        Self { address, answers, searches, _tasks: tasks }
    }

    /// How many searches for an IGD have come.
    pub(super) fn searches(&self) -> usize {
        self.searches.load(Ordering::Relaxed)
    }
}

fn from_this_host(answers: Vec<String>) -> Vec<Answer> {
    let from = IpAddr::from(Ipv4Addr::LOCALHOST);
    answers.into_iter().map(|text| Answer { from, text, after: Duration::ZERO }).collect()
}

pub(super) fn answer(location: &str, st: &str) -> String {
    answer_of(location, st, "uuid:1")
}

/// The answer of the device with this UDN.
pub(super) fn answer_of(location: &str, st: &str, udn: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nLOCATION: {location}\r\nST: {st}\r\nUSN: {udn}::{st}\r\nEXT:\r\n\r\n")
}

/// A mapper that searches at `ssdp` only.
pub(super) fn mapper(ssdp: &Ssdp) -> UpnpMapper {
    UpnpMapper::new(UpnpConfig {
        gateway: Ipv4Addr::LOCALHOST.into(),
        local_address: None,
        ssdp_address: Some(ssdp.address),
        description: "test <&> mapping".to_owned(),
        gateway_only: false,
    })
}

/// A router with one WANIPConnection:1, the way to find it, and a mapper.
pub(super) async fn gateway(rule: impl Fn(&Call) -> Option<String> + Send + Sync + 'static) -> (Web, Ssdp, UpnpMapper) {
    let (_, web, ssdp, mapper) = router(move |call, _| rule(call)).await;
    (web, ssdp, mapper)
}

/// An answer with output arguments.
pub(super) fn ok(action: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    page(&format!("<s:Envelope><s:Body><u:{action}Response>{fields}</u:{action}Response></s:Body></s:Envelope>"))
}

/// A refusal.
pub(super) fn fault(code: u16) -> String {
    format!(
        "HTTP/1.1 500 Error\r\n\r\n<s:Fault><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></s:Fault>"
    )
}

pub(super) fn page(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn description(services: &[(&str, &str)]) -> String {
    description_of("uuid:test-router", services)
}

/// The description of the device with this UDN.
pub(super) fn description_of(udn: &str, services: &[(&str, &str)]) -> String {
    let services: String = services
        .iter()
        .map(|(kind, url)| {
            format!("<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>")
        })
        .collect();
    format!(
        "<root><device><UDN>{udn}</UDN><friendlyName>Test router</friendlyName><manufacturer>Acme</manufacturer>\
         <modelName>Gate</modelName><modelNumber>7</modelNumber><serviceList>{services}</serviceList></device></root>"
    )
}

fn healthy(call: &Call, description: &str) -> String {
    match &*call.action {
        "" => page(description),
        "GetStatusInfo" => ok("GetStatusInfo", &[("NewConnectionStatus", "Connected")]),
        "GetExternalIPAddress" => ok("GetExternalIPAddress", &[("NewExternalIPAddress", "192.0.1.1")]),
        "GetSpecificPortMappingEntry" => fault(714),
        "GetGenericPortMappingEntry" => fault(713),
        "AddAnyPortMapping" => ok("AddAnyPortMapping", &[("NewReservedPort", "40001")]),
        action => ok(action, &[]),
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Call>>>,
    rule: Arc<Rule>,
    description: Arc<String>,
    busy: Arc<Busy>,
) {
    let mut request = String::new();
    let mut buffer = [0; 8192];
    let (head, body) = loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        request.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                break (head.to_owned(), body.to_owned());
            }
        }
    };
    let action = head.lines().find_map(|line| line.strip_prefix("SOAPAction: "));
    let action = action.map_or("", |action| action.rsplit('#').next().unwrap().trim_matches('"'));
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or_default().to_owned();
    let from = stream.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |from| from.ip());
    let call = Call { action: action.to_owned(), path, host, from, body };
    log.lock().unwrap().push(call.clone());
    let action = !call.action.is_empty();
    if action {
        busy.most.fetch_max(busy.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        // A caller that does not wait for the answer gets to the next call now.
        tokio::task::yield_now().await;
    }
    let answer = rule(&call).unwrap_or_else(|| healthy(&call, &description));
    if action && !answer.is_empty() {
        busy.now.fetch_sub(1, Ordering::Relaxed);
    }
    if answer.is_empty() {
        // Silence: the connection stays open until the client gives up.
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    } else {
        // The client may be gone by now.
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}
