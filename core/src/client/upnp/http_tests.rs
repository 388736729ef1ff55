use std::net::Ipv4Addr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::decode::MAX_BODY;
use super::*;

/// Accepts one connection, reads what comes in one read, sends `pieces` and closes. Gives back what it read.
async fn serve(pieces: Vec<Vec<u8>>) -> (Url, JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = Url::parse(&format!("http://{}/control?x=1", listener.local_addr().unwrap())).unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 65536];
        let count = stream.read(&mut buffer).await.unwrap();
        for piece in pieces {
            // The client may have enough before all is written.
            if stream.write_all(&piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    });
    (url, task)
}

fn get(url: &Url, deadline: Duration) -> Request<'_> {
    Request { url, local: None, scope: 0, action: None, deadline }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_request_goes_out_in_one_piece_with_exact_header_names() {
    let (url, server) = serve(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()]).await;
    let request = Request { action: Some(("\"urn:x#Add\"", "<body/>")), ..get(&url, SECOND) };
    let reply = send(&request).await.unwrap();
    assert_eq!((reply.response.status, reply.response.body.as_slice()), (200, &b"ok"[..]));
    assert_eq!(reply.local, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let seen = server.await.unwrap();
    let port = url.port().unwrap();
    for line in [
        "POST /control?x=1 HTTP/1.1\r\n",
        &format!("\r\nHost: 127.0.0.1:{port}\r\n"),
        "\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n",
        "\r\nContent-Length: 7\r\n",
        "\r\nSOAPAction: \"urn:x#Add\"\r\n",
        "\r\nConnection: close\r\n",
    ] {
        assert!(seen.contains(line), "{line:?} is missing in {seen:?}");
    }
    assert!(seen.ends_with("\r\n\r\n<body/>"), "head and body came apart: {seen:?}");
}

#[tokio::test]
async fn the_connection_leaves_from_the_local_address_that_is_asked_for() {
    let (url, _server) = serve(vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()]).await;
    let local = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
    let reply = send(&Request { local: Some(local), ..get(&url, SECOND) }).await.unwrap();
    assert_eq!(reply.local, local);
}

#[tokio::test]
async fn a_closed_port_is_told_apart_as_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    assert!(matches!(send(&get(&url, SECOND)).await, Err(HttpError::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_left_at_the_deadline() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let started = tokio::time::Instant::now();
    let error = send(&get(&url, 2 * SECOND)).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout(_)), "{error}");
    assert!(started.elapsed() >= 2 * SECOND && started.elapsed() < 3 * SECOND);
}

#[tokio::test]
async fn a_body_that_never_ends_is_left_at_the_limit() {
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()];
    pieces.extend(std::iter::repeat_n(vec![b'x'; 64 * 1024], 40));
    let (url, _server) = serve(pieces).await;
    let error = send(&get(&url, 5 * SECOND)).await.unwrap_err();
    assert!(matches!(error, HttpError::Malformed(_)) && error.to_string().contains("1048576"), "{error}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_left_at_the_limit() {
    let (url, _server) = serve(vec![b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Y: z\r\n".repeat(4096)]).await;
    let error = send(&get(&url, 5 * SECOND)).await.unwrap_err();
    assert!(error.to_string().contains("head is longer than 16384"), "{error}");
}

#[test]
fn a_body_of_the_largest_size_is_read_in_every_framing() {
    let body = vec![b'x'; MAX_BODY];
    let mut chunks = Vec::new();
    for piece in body.chunks(4000) {
        chunks.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        chunks.extend(piece);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    for (head, framed) in [
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {MAX_BODY}\r\n\r\n"), &body),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), &body),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), &chunks),
    ] {
        let mut answer = head.into_bytes();
        answer.extend(framed);
        assert_eq!(parse_response(&answer).unwrap().body.len(), MAX_BODY);
        let last = answer.len() - 7;
        answer.splice(last..last, *b"y");
        assert!(parse_response(&answer).map_or(true, |response| response.body.len() <= MAX_BODY));
    }
}

#[test]
fn only_http_to_an_ip_literal_without_credentials_is_an_endpoint() {
    let endpoint_of = |text: &str| endpoint(&Url::parse(text).unwrap());
    assert_eq!(endpoint_of("http://192.168.1.1:5000/a"), Some("192.168.1.1:5000".parse().unwrap()));
    assert_eq!(endpoint_of("http://192.168.1.1/a"), Some("192.168.1.1:80".parse().unwrap()));
    for text in ["https://192.168.1.1/", "http://router/", "http://a@192.168.1.1/", "http://a:b@192.168.1.1/"] {
        assert_eq!(endpoint_of(text), None, "{text}");
    }
    assert_eq!(endpoint_of("http://192.168.1.1:0/"), None);
}

#[test]
fn what_a_peer_says_is_shown_short_on_one_line_and_in_one_order() {
    assert_eq!(shown(" a\nb\u{202e}c\u{2066}d\u{200f}e\u{2028}f\u{1b}g "), "a b c d e f g");
    assert_eq!(
        shown("Router \u{645}\u{200c}\u{646} \u{1f469}\u{200d}\u{1f527}"),
        "Router \u{645}\u{200c}\u{646} \u{1f469}\u{200d}\u{1f527}"
    );
    assert_eq!(shown(&"\u{e9}".repeat(500)), format!("{}...", "\u{e9}".repeat(100)));
}

#[test]
fn the_interface_of_a_link_local_address_is_in_the_socket_and_never_in_the_message() {
    let url = Url::parse("http://[fe80::1]:5000/ctl").unwrap();
    let peer = endpoint(&url).unwrap();
    assert_eq!(scoped(peer, 3).to_string(), "[fe80::1%3]:5000");
    assert!(message(&get(&url, SECOND), peer).contains("\r\nHost: [fe80::1]:5000\r\n"));
    for elsewhere in ["[2001:db8::1]:80", "192.168.1.1:80"] {
        assert_eq!(scoped(elsewhere.parse().unwrap(), 3).to_string(), elsewhere);
    }
}

#[test]
fn a_url_at_another_host_keeps_its_port_and_path_and_is_as_safe() {
    let at =
        |text: &str, host: &str| at_host(&Url::parse(text).unwrap(), host.parse().unwrap()).map(|url| url.to_string());
    assert_eq!(at("http://192.168.1.1:5000/a?b", "fe80::1").as_deref(), Some("http://[fe80::1]:5000/a?b"));
    assert_eq!(at("http://router.local/a", "fe80::1").as_deref(), Some("http://[fe80::1]/a"));
    for bad in ["https://192.168.1.1/", "http://a:b@192.168.1.1/", "data:,x"] {
        assert_eq!(at(bad, "fe80::1"), None, "{bad}");
    }
}
