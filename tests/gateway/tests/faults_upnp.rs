//! Every switch of the UPnP device does what it says.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::*;
use portlease_gateway::{Faults, Gateway, HttpBody, Mode, NameEncoding, SecondDevice, WanService};

const ROOT: &str = "upnp:rootdevice";

fn with(change: impl FnOnce(&mut Faults)) -> Gateway {
    start(|config| change(&mut config.faults))
}

/// Searches and returns the answers, each with the port that it came from.
fn search(gateway: &Gateway, st: &str) -> Vec<(u16, String)> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(QUIET)).unwrap();
    let message = format!("M-SEARCH * HTTP/1.1\r\nHOST: x\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {st}\r\n\r\n");
    socket.send_to(message.as_bytes(), gateway.ssdp_address()).unwrap();
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| {
        let (length, from) = socket.recv_from(&mut buffer).ok()?;
        Some((from.port(), String::from_utf8(buffer[..length].to_vec()).unwrap()))
    })
    .collect()
}

fn search_texts(gateway: &Gateway, st: &str) -> Vec<String> {
    search(gateway, st).into_iter().map(|(_, text)| text).collect()
}

fn body(answer: &[u8]) -> &[u8] {
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("no end of headers");
    &answer[at + 4..]
}

fn root_raw(gateway: &Gateway, limit: usize) -> (Vec<u8>, bool) {
    http_raw(gateway.http_address(), "GET /rootDesc.xml HTTP/1.1\r\nHost: x\r\n\r\n", limit)
}

/// The description as text, without the headers.
fn root(gateway: &Gateway) -> String {
    String::from_utf8(body(&root_raw(gateway, usize::MAX).0).to_vec()).unwrap()
}

#[test]
fn upnp_is_off_or_silent() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.upnp = Mode::Off);
    assert!(TcpStream::connect(gateway.http_address()).is_err());
    assert_eq!(search_texts(&gateway, ROOT).len(), 0);

    gateway.update_faults(|faults| faults.upnp = Mode::Silent);
    assert_eq!(search_texts(&gateway, ROOT).len(), 0);
    let mut stream = TcpStream::connect(gateway.http_address()).unwrap();
    stream.write_all(soap_request("/ctl/IPConn", WAN_IP_1, "GetStatusInfo", &[]).as_bytes()).unwrap();
    stream.set_read_timeout(Some(QUIET)).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "a silent server neither answers nor closes");
    assert_eq!(gateway.counters().get("soap_GetStatusInfo"), 1);

    gateway.set_faults(Faults { http: Mode::Off, ..Faults::default() });
    assert_eq!(search_texts(&gateway, ROOT).len(), 1, "SSDP goes on");
    assert!(TcpStream::connect(gateway.http_address()).is_err());
    gateway.set_faults(Faults::default());
    assert!(root(&gateway).contains("WANIPConnection"));
}

#[test]
fn error_codes_are_had_for_all_actions_or_for_one() {
    let gateway = gateway();
    for code in [401, 402, 501, 606, 713, 714, 718, 724, 725, 729] {
        gateway.set_faults(Faults { upnp: Mode::Refuse(code), ..Faults::default() });
        let answer = soap(&gateway, "GetStatusInfo", &[]);
        assert_eq!(error_code(&answer), Some(code));
        assert!(answer.starts_with("HTTP/1.1 500") && element(&answer, "errorDescription").is_some());
        gateway.set_faults(Faults { soap_errors: [("AddPortMapping".into(), code)].into(), ..Faults::default() });
        assert_eq!(error_code(&add(&gateway, 4100, 4000, "UDP", 60)), Some(code));
        assert_eq!(error_code(&soap(&gateway, "GetStatusInfo", &[])), None);
    }
    assert!(gateway.mappings().is_empty());
}

#[test]
fn leases_and_ports_are_refused_as_asked() {
    let gateway = with(|faults| faults.nonzero_lease_error = Some(725));
    assert_eq!(error_code(&add(&gateway, 4100, 4000, "UDP", 60)), Some(725));
    assert_eq!(error_code(&add(&gateway, 4100, 4000, "UDP", 0)), None);
    gateway.set_faults(Faults { zero_lease_error: Some(402), ..Faults::default() });
    assert_eq!(error_code(&add(&gateway, 4100, 4000, "UDP", 0)), Some(402));
    assert_eq!(error_code(&add(&gateway, 4100, 4000, "UDP", 60)), None);
    gateway.set_faults(Faults { port_errors: [(4200, 729)].into(), ..Faults::default() });
    assert_eq!(error_code(&add(&gateway, 4200, 4200, "UDP", 60)), Some(729));
    assert_eq!(error_code(&add(&gateway, 4201, 4200, "UDP", 60)), None);
    gateway.set_faults(Faults { same_port_only: true, ..Faults::default() });
    assert_eq!(error_code(&add(&gateway, 4300, 4301, "UDP", 60)), Some(724));
    assert_eq!(error_code(&add(&gateway, 4300, 4300, "UDP", 60)), None);
}

#[test]
fn faults_come_without_description_and_with_status_200() {
    let gateway = with(|faults| {
        faults.upnp = Mode::Refuse(718);
        faults.no_error_description = true;
        faults.fault_status_200 = true;
    });
    let answer = soap(&gateway, "GetStatusInfo", &[]);
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("errorDescription"), "{answer}");
    assert_eq!(error_code(&answer), Some(718));
}

#[test]
fn the_connection_status_is_as_asked() {
    let gateway = with(|faults| faults.connection_status = Some("Up".into()));
    assert_eq!(element(&soap(&gateway, "GetStatusInfo", &[]), "NewConnectionStatus"), Some("Up"));
}

#[test]
fn bodies_come_in_every_style() {
    let right = root(&gateway());
    let styled = |style| with(|faults| faults.http_body = style);

    let (chunked, _) = root_raw(&styled(HttpBody::Chunked), usize::MAX);
    assert!(String::from_utf8_lossy(&chunked).contains("Transfer-Encoding: chunked"));
    assert_eq!(String::from_utf8(dechunk(body(&chunked))).unwrap(), right);

    let (bare, _) = root_raw(&styled(HttpBody::NoLength), usize::MAX);
    let text = String::from_utf8(bare).unwrap();
    assert!(!text.contains("Content-Length") && !text.contains("chunked") && text.ends_with(&right));

    let (lf, _) = root_raw(&styled(HttpBody::LfOnly), usize::MAX);
    let text = String::from_utf8(lf).unwrap();
    assert!(!text.contains('\r') && text.contains("\n\n") && text.ends_with(&right));

    let (oversized, _) = root_raw(&styled(HttpBody::Oversized), usize::MAX);
    assert!(body(&oversized).len() > 1024 * 1024);
    assert!(body(&oversized).ends_with(&right.as_bytes()[right.len() - 500..]));

    let (endless, _) = root_raw(&styled(HttpBody::NeverEnding), 100_000);
    assert!(endless.len() >= 100_000);

    let (_, reset) = root_raw(&styled(HttpBody::Reset), usize::MAX);
    assert!(reset);

    let (short, reset) = root_raw(&styled(HttpBody::Truncated), usize::MAX);
    assert_eq!((body(&short), reset), (&right.as_bytes()[..right.len() / 2], false));

    let (padded, _) = root_raw(&styled(HttpBody::HugeHeaders), usize::MAX);
    assert!(padded.len() > 16 * 1024 + right.len());

    let (bad, _) = root_raw(&styled(HttpBody::BadLength), usize::MAX);
    assert!(String::from_utf8_lossy(&bad).contains("Content-Length: many"));
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let line = std::str::from_utf8(&rest[..line_end]).unwrap();
        let length = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&rest[line_end + 2..line_end + 2 + length]);
        rest = &rest[line_end + 2 + length + 2..];
    }
}

#[test]
fn actions_have_a_style_of_their_own() {
    let gateway = with(|faults| faults.control_body = Some(HttpBody::Chunked));
    assert!(soap(&gateway, "GetStatusInfo", &[]).contains("Transfer-Encoding: chunked"));
    assert!(get(&gateway, "/rootDesc.xml").contains("Content-Length"));
}

#[test]
fn headers_are_written_as_asked() {
    let gateway = with(|faults| {
        faults.lowercase_headers = true;
        faults.content_type = Some("text/html".into());
    });
    let answer = get(&gateway, "/rootDesc.xml");
    assert!(answer.contains("\r\ncontent-length: ") && answer.contains("\r\ncontent-type: text/html\r\n"), "{answer}");
}

#[test]
fn a_slow_server_is_slow() {
    let gateway = with(|faults| faults.http_delay_ms = 120);
    let began = Instant::now();
    root(&gateway);
    assert!(began.elapsed() >= Duration::from_millis(115));
}

#[test]
fn a_strict_server_wants_headers_as_in_the_standard() {
    let gateway = with(|faults| faults.strict_headers = true);
    let good = soap_request("/ctl/IPConn", WAN_IP_1, "GetStatusInfo", &[]);
    let status = |request: &str| {
        String::from_utf8(http_raw(gateway.http_address(), request, usize::MAX).0).unwrap()[9..12].to_owned()
    };
    assert_eq!(status(&good), "200");
    assert_eq!(status(&good.replace("SOAPAction", "soapaction")), "400");
    assert_eq!(status(&good.replace("Content-Length", "content-length")), "400");
    let unquoted = good.replace(&format!("\"{WAN_IP_1}#GetStatusInfo\""), &format!("{WAN_IP_1}#GetStatusInfo"));
    assert_eq!(status(&unquoted), "400");
}

#[test]
fn a_server_that_reads_once_wants_all_in_one_write() {
    let gateway = with(|faults| faults.single_read = true);
    assert!(soap(&gateway, "GetStatusInfo", &[]).starts_with("HTTP/1.1 200"));
    let request = soap_request("/ctl/IPConn", WAN_IP_1, "GetStatusInfo", &[]);
    let (head, rest) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
    let mut stream = TcpStream::connect(gateway.http_address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // Long enough for the server to have read the first segment alone.
    std::thread::sleep(Duration::from_millis(100));
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn documents_are_moved_or_missing() {
    let gateway = with(|faults| faults.redirect = Some("http://127.0.0.9/x".into()));
    let answer = get(&gateway, "/rootDesc.xml");
    assert!(answer.starts_with("HTTP/1.1 302") && answer.contains("Location: http://127.0.0.9/x\r\n"));
    gateway.set_faults(Faults { scpd_missing: true, ..Faults::default() });
    assert!(get(&gateway, "/WANIPCn.xml").starts_with("HTTP/1.1 404"));
    assert!(get(&gateway, "/rootDesc.xml").starts_with("HTTP/1.1 200"));
    gateway.set_faults(Faults { control_missing: true, ..Faults::default() });
    assert!(soap(&gateway, "GetStatusInfo", &[]).starts_with("HTTP/1.1 404"));
}

#[test]
fn ssdp_answers_go_wrong_as_asked() {
    let elsewhere = "http://127.0.0.9:1/rootDesc.xml";
    let gateway = with(|faults| faults.location = Some(elsewhere.into()));
    assert!(search_texts(&gateway, ROOT)[0].contains(&format!("LOCATION: {elsewhere}\r\n")));

    gateway.set_faults(Faults { ssdp_other_port: true, ..Faults::default() });
    assert_ne!(search(&gateway, ROOT)[0].0, gateway.ssdp_address().port());
    gateway.set_faults(Faults::default());
    assert_eq!(search(&gateway, ROOT)[0].0, gateway.ssdp_address().port());

    gateway.set_faults(Faults { ssdp_duplicates: 2, ..Faults::default() });
    assert_eq!(search_texts(&gateway, ROOT).len(), 3);

    gateway.set_faults(Faults { ssdp_only_st: Some(ROOT.into()), ..Faults::default() });
    assert_eq!((search_texts(&gateway, ROOT).len(), search_texts(&gateway, WAN_IP_1).len()), (1, 0));

    gateway.set_faults(Faults { ssdp_answer_st: Some("urn:x:y:z:1".into()), ..Faults::default() });
    assert!(search_texts(&gateway, ROOT)[0].contains("\r\nST: urn:x:y:z:1\r\n"));

    gateway.set_faults(Faults { ssdp_delay_ms: 80, ..Faults::default() });
    let began = Instant::now();
    assert_eq!(search_texts(&gateway, ROOT).len(), 1);
    assert!(began.elapsed() >= Duration::from_millis(75) + QUIET);
}

#[test]
fn a_second_device_is_down() {
    for (switch, order) in [(SecondDevice::First, [false, true]), (SecondDevice::Last, [true, false])] {
        let gateway = with(|faults| faults.second_device = switch);
        let answers = search_texts(&gateway, ROOT);
        let working: Vec<bool> = answers.iter().map(|answer| answer.contains(&gateway.description_url())).collect();
        assert_eq!(working, order, "{answers:?}");
        assert!(get(&gateway, "/other/rootDesc.xml").contains("<controlURL>/other/ctl/IPConn</controlURL>"));
        let call = |action: &str, arguments: &[(&str, &str)]| {
            let request = soap_request("/other/ctl/IPConn", WAN_IP_1, action, arguments);
            String::from_utf8(http_raw(gateway.http_address(), &request, usize::MAX).0).unwrap()
        };
        assert_eq!(element(&call("GetStatusInfo", &[]), "NewConnectionStatus"), Some("Disconnected"));
        assert_eq!(element(&call("GetExternalIPAddress", &[]), "NewExternalIPAddress"), Some(""));
        assert_eq!(error_code(&call("AddPortMapping", &add_arguments("1", "1", "UDP", "0"))), Some(501));
    }
}

#[test]
fn urls_in_the_description_take_every_form() {
    let described = |change: fn(&mut Faults)| {
        let gateway = with(change);
        (root(&gateway), gateway)
    };
    let (text, gateway) = described(|faults| faults.url_base = true);
    assert!(text.contains(&format!("<URLBase>http://{}/</URLBase>", gateway.http_address())));
    let (text, _) = described(|faults| faults.relative_urls = true);
    assert!(text.contains("<controlURL>ctl/IPConn</controlURL>"));
    let (text, _) = described(|faults| faults.control_host = Some("http://127.0.0.9:80".into()));
    assert!(text.contains("<controlURL>http://127.0.0.9:80/ctl/IPConn</controlURL>"));
    let (text, gateway) = described(|faults| faults.control_query = true);
    assert!(text.contains("<controlURL>/control?WANIPConnection</controlURL>"));
    let request = soap_request("/control?WANIPConnection", WAN_IP_1, "GetStatusInfo", &[]);
    assert!(http_raw(gateway.http_address(), &request, usize::MAX).0.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn the_description_is_prefixed_long_or_deep_and_always_well_formed() {
    let gateway = with(|faults| faults.prefixed_namespaces = true);
    let text = root(&gateway);
    assert!(text.contains("<igd:controlURL>") && !text.contains("<controlURL>"));
    let parsed = roxmltree::Document::parse(&text).unwrap();
    assert!(parsed.descendants().any(|node| node.tag_name().name() == "controlURL"));
    assert!(root(&with(|faults| faults.padded_description = true)).len() > 20 * 1024);
    let deep = root(&with(|faults| faults.nesting = 5000));
    assert_eq!(deep.matches("<nested>").count(), 5000);
    assert_eq!(deep.matches("</nested>").count(), 5000);
}

#[test]
fn the_name_is_latin_1_or_broken() {
    let contains = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    for (encoding, declared) in [(NameEncoding::Latin1, "ISO-8859-1"), (NameEncoding::BrokenUtf8, "utf-8")] {
        let (bytes, _) = root_raw(&with(|faults| faults.name_encoding = encoding), usize::MAX);
        assert!(contains(&bytes, format!("encoding=\"{declared}\"").as_bytes()));
        assert!(contains(&bytes, b"K\xfcche") && std::str::from_utf8(&bytes).is_err());
    }
}

#[test]
fn the_wan_service_takes_every_form() {
    for (switch, igd, service) in [
        (WanService::Ip2Only, 1, Some("urn:schemas-upnp-org:service:WANIPConnection:2")),
        (WanService::Ip1Only, 2, Some("urn:schemas-upnp-org:service:WANIPConnection:1")),
        (WanService::Ppp, 2, Some("urn:schemas-upnp-org:service:WANPPPConnection:1")),
        (WanService::Dslforum, 2, Some("urn:dslforum-org:service:WANIPConnection:1")),
        (WanService::None, 2, None),
    ] {
        let gateway = start(|config| {
            config.igd_version = igd;
            config.faults.wan_service = switch;
        });
        let text = root(&gateway);
        let Some(service) = service else {
            assert!(!text.contains("Connection:") && search_texts(&gateway, WAN_IP_1).is_empty());
            continue;
        };
        assert!(text.contains(&format!("<serviceType>{service}</serviceType>")), "{text}");
        assert_eq!(search_texts(&gateway, service).len(), 1, "{service}");
        let request =
            soap_request("/ctl/IPConn", service, "AddPortMapping", &add_arguments("4100", "4000", "UDP", "60"));
        let answer = String::from_utf8(http_raw(gateway.http_address(), &request, usize::MAX).0).unwrap();
        assert_eq!((error_code(&answer), gateway.mappings().len()), (None, 1), "{service}: {answer}");
    }
}

#[test]
fn the_first_of_several_connections_is_down() {
    let gateway = with(|faults| faults.down_connection_first = true);
    let text = root(&gateway);
    assert!(text.find("/ctl/Down").unwrap() < text.find("/ctl/IPConn").unwrap());
    let request = soap_request("/ctl/Down", WAN_IP_1, "GetStatusInfo", &[]);
    let answer = String::from_utf8(http_raw(gateway.http_address(), &request, usize::MAX).0).unwrap();
    assert_eq!(element(&answer, "NewConnectionStatus"), Some("Disconnected"));
    assert_eq!(element(&soap(&gateway, "GetStatusInfo", &[]), "NewConnectionStatus"), Some("Connected"));
}

#[test]
fn a_reboot_can_keep_the_http_port() {
    let gateway = with(|faults| faults.reboot_keeps_http_port = true);
    let before = gateway.http_address();
    gateway.reboot();
    assert_eq!(gateway.http_address(), before);
    gateway.update_faults(|faults| faults.reboot_keeps_http_port = false);
    gateway.reboot();
    assert_ne!(gateway.http_address(), before);
    assert!(TcpStream::connect(before).is_err());
}

#[test]
fn a_full_table_has_its_own_code_for_any_port() {
    let gateway = with(|faults| faults.table_full = true);
    let request = soap_request("/ctl/IPConn", WAN_IP_2, "AddAnyPortMapping", &add_arguments("1", "1", "UDP", "60"));
    let answer = String::from_utf8(http_raw(gateway.http_address(), &request, usize::MAX).0).unwrap();
    assert_eq!(error_code(&answer), Some(728));
}
