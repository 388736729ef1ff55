use std::time::Duration;

use super::*;

async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn search(address: SocketAddr) -> Search {
    Search::start(Ipv4Addr::LOCALHOST.into(), None, Some(address)).await.unwrap()
}

fn answer(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nLOCATION: {location}\r\nST: upnp:rootdevice\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_search_names_every_target_with_the_quotes_and_the_empty_line() {
    let (peer, address) = peer().await;
    let _search = search(address).await;
    let mut seen = Vec::new();
    let mut buffer = [0; 2048];
    while seen.len() < TARGETS.len() {
        let count = peer.recv(&mut buffer).await.unwrap();
        seen.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
    }
    for target in TARGETS {
        let message = format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {address}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n"
        );
        assert!(seen.contains(&message), "{target} is missing in {seen:?}");
    }
}

#[tokio::test]
async fn garbage_is_skipped_and_an_answer_from_another_port_counts() {
    let (peer, address) = peer().await;
    let mut search = search(address).await;
    let mut buffer = [0; 2048];
    let (_, client) = peer.recv_from(&mut buffer).await.unwrap();
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for garbage in [&b""[..], b"\xff\xff", b"HTTP/1.1 200 OK\r\n\r\n", b"NOTIFY * HTTP/1.1\r\n\r\n"] {
        peer.send_to(garbage, client).await.unwrap();
    }
    other.send_to(&answer("http://127.0.0.1:5/d"), client).await.unwrap();
    match search.next().await {
        Found::Answer(answer, from) => {
            assert_eq!(answer.location.as_str(), "http://127.0.0.1:5/d");
            assert!(answer.trusted(from));
        }
        found => panic!("{found:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_that_nobody_answers_is_repeated_and_ends_at_the_deadline() {
    let (peer, address) = peer().await;
    let mut search = search(address).await;
    let started = Instant::now();
    assert!(matches!(search.next().await, Found::Nothing));
    assert!(search.over());
    assert!(started.elapsed() >= SSDP_DEADLINE && started.elapsed() < SSDP_DEADLINE + Duration::from_millis(100));
    let mut buffer = [0; 2048];
    let mut count = 0;
    while peer.try_recv(&mut buffer).is_ok() {
        count += 1;
    }
    // Each burst, and one more message each from the socket that watches for a refusal.
    assert_eq!(count, (1 + SSDP_REPEATS.len()) * (TARGETS.len() + 1));
}

#[tokio::test(start_paused = true)]
async fn a_hushed_search_is_not_repeated() {
    let (peer, address) = peer().await;
    let mut search = search(address).await;
    search.hush();
    assert!(matches!(search.next().await, Found::Nothing));
    let mut buffer = [0; 2048];
    let mut count = 0;
    while peer.try_recv(&mut buffer).is_ok() {
        count += 1;
    }
    assert_eq!(count, TARGETS.len() + 1);
}

#[tokio::test]
async fn a_refusal_by_the_only_host_that_is_asked_ends_the_search_at_once() {
    let (peer, address) = peer().await;
    drop(peer);
    let mut search = search(address).await;
    let started = std::time::Instant::now();
    assert!(matches!(search.next().await, Found::Refused(host) if host == address));
    assert!(started.elapsed() < SSDP_DEADLINE / 2);
}

#[tokio::test]
async fn a_search_that_cannot_be_sent_at_all_is_a_transport_error() {
    // No port 0 can be sent to.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let error = Search::start(Ipv4Addr::LOCALHOST.into(), None, Some(nowhere)).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Transport);
    assert!(error.to_string().starts_with("cannot send an ssdp search to 127.0.0.1:0"), "{error}");
}
