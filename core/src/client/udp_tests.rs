use std::net::Ipv4Addr;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::schedule::{DELETE_DEADLINE, LATE_ANSWER_WINDOW, MAP_DEADLINE, PCP_DEADLINE, UDP_DEADLINE_MAX};

/// Longer than anything that is bounded here may take: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// A UDP socket on loopback that plays the gateway.
pub(crate) struct FakeGateway {
    socket: UdpSocket,
}

impl FakeGateway {
    pub(crate) async fn silent() -> (Self, Arc<GatewayPort>) {
        Self::silent_at(Ipv4Addr::LOCALHOST.into()).await
    }

    async fn silent_at(address: IpAddr) -> (Self, Arc<GatewayPort>) {
        let socket = UdpSocket::bind((address, 0)).await.unwrap();
        let port = GatewayPort::new(socket.local_addr().unwrap(), None);
        (Self { socket }, port)
    }

    /// Answers each request with the datagrams that `answers` makes of it, and hands the requests out.
    pub(crate) async fn answering(
        answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (mpsc::UnboundedReceiver<Vec<u8>>, Arc<GatewayPort>) {
        Self::answering_at(Ipv4Addr::LOCALHOST.into(), answers).await
    }

    /// The same on this loopback address.
    pub(crate) async fn answering_at(
        address: IpAddr,
        mut answers: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (mpsc::UnboundedReceiver<Vec<u8>>, Arc<GatewayPort>) {
        let (gateway, port) = Self::silent_at(address).await;
        let (heard, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let mut buffer = [0; 2048];
                let (length, from) = gateway.socket.recv_from(&mut buffer).await.unwrap();
                let request = buffer[..length].to_vec();
                for answer in answers(&request) {
                    gateway.say(&answer, from).await;
                }
                if heard.send(request).is_err() {
                    return;
                }
            }
        });
        (requests, port)
    }

    pub(crate) async fn hear(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await;
        let (length, from) = received.expect("no request came").unwrap();
        (buffer[..length].to_vec(), from)
    }

    pub(crate) async fn say(&self, datagram: &[u8], to: SocketAddr) {
        // The exchange may have ended: then the next one must not suffer from its ICMP.
        let _ = self.socket.send_to(datagram, to).await;
    }
}

// Windows has another error for it.
#[cfg(unix)]
#[tokio::test]
async fn a_socket_that_is_closed_to_answers_is_a_refusal_and_no_wait_without_an_end() {
    let (_gateway, port) = FakeGateway::silent().await;
    let socket = UdpSocket::from_std(port.connect(Protocol::Pcp).unwrap()).unwrap();
    // The system then says that the socket is ready, and has nothing to be read.
    SockRef::from(&socket).shutdown(std::net::Shutdown::Read).unwrap();
    let received = timeout(PATIENCE, receive(&socket, &mut [0; 8])).await.expect("it waits");
    assert!(is_refusal(&received.unwrap_err()));
}

/// A gateway without the service: its port was free a moment ago.
pub(crate) async fn closed_port() -> Arc<GatewayPort> {
    let (gateway, port) = FakeGateway::silent().await;
    drop(gateway);
    port
}

/// One exchange in which `answer` is the answer and nothing else is. Late answers go to the channel.
async fn exchange_with(
    port: &GatewayPort,
    end: &CancellationToken,
    late: mpsc::UnboundedSender<Vec<u8>>,
) -> Result<Answered<Vec<u8>>, PortMappingError> {
    let late = Late { end: end.clone(), heard: Box::new(move |answer, _| drop(late.send(answer))) };
    let matcher = |datagram: &[u8]| datagram.starts_with(b"answer").then(|| datagram.to_vec());
    port.open(Protocol::NatPmp)
        .await?
        .exchange(b"request", Manner { jitter: 0.0, insist: Duration::ZERO }, matcher, late)
        .await
}

async fn exchange(port: &GatewayPort) -> Result<Answered<Vec<u8>>, PortMappingError> {
    exchange_with(port, &CancellationToken::new(), mpsc::unbounded_channel().0).await
}

fn many(port: &Arc<GatewayPort>, count: usize) -> tokio::task::JoinSet<Result<Answered<Vec<u8>>, PortMappingError>> {
    (0..count)
        .map(|_| {
            let port = Arc::clone(port);
            async move { exchange(&port).await }
        })
        .collect()
}

fn assert_all_free(port: &GatewayPort) {
    assert_eq!(port.sockets.available_permits(), MAX_EXCHANGES);
    for lane in [&port.pcp, &port.nat_pmp] {
        assert_eq!(lane.free(), lane.size());
    }
}

#[tokio::test]
async fn the_answer_is_handed_over_with_its_round_trip() {
    let (mut requests, port) = FakeGateway::answering(|_| vec![b"answer".to_vec()]).await;
    let Answered { answer, round_trip, .. } = exchange(&port).await.unwrap();
    assert_eq!(answer, b"answer");
    assert!(round_trip > Duration::ZERO && round_trip < PCP_DEADLINE, "{round_trip:?}");
    assert_eq!(requests.recv().await.unwrap(), b"request");
}

#[tokio::test]
async fn datagrams_of_every_length_that_do_not_match_are_ignored() {
    let (gateway, port) = FakeGateway::silent().await;
    let play = async {
        let (_, client) = gateway.hear().await;
        for length in (0..=1100).step_by(50).chain([1101, 1500, 9000]) {
            gateway.say(&vec![0xff; length], client).await;
        }
        gateway.say(b"answer", client).await;
    };
    let (outcome, ()) = tokio::join!(exchange(&port), play);
    assert_eq!(outcome.unwrap().answer, b"answer");
}

#[tokio::test]
async fn the_longest_answer_is_read_whole_and_a_longer_one_is_not_taken_for_its_beginning() {
    let sized = |length: usize| [b"answer".as_slice(), &vec![7; length - 6]].concat();
    let (_requests, port) = FakeGateway::answering(move |_| vec![sized(1101), sized(1200), sized(1100)]).await;
    assert_eq!(exchange(&port).await.unwrap().answer, sized(1100));
}

#[tokio::test]
async fn a_datagram_from_another_source_is_ignored() {
    let (gateway, port) = FakeGateway::silent().await;
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let play = async {
        let (_, client) = gateway.hear().await;
        stranger.send_to(b"answer of a stranger", client).await.unwrap();
        gateway.say(b"answer", client).await;
    };
    let (outcome, ()) = tokio::join!(exchange(&port), play);
    assert_eq!(outcome.unwrap().answer, b"answer");
}

#[tokio::test]
async fn an_unanswered_request_is_sent_again_from_the_same_port_at_doubling_intervals() {
    let (gateway, port) = FakeGateway::silent().await;
    let play = async {
        let mut heard = Vec::new();
        for _ in 0..3 {
            let (request, from) = gateway.hear().await;
            heard.push((request, from, Instant::now()));
        }
        gateway.say(b"answer", heard[0].1).await;
        heard
    };
    let (outcome, heard) = tokio::join!(exchange(&port), play);
    outcome.unwrap();
    assert!(heard.iter().all(|(request, from, _)| request == b"request" && *from == heard[0].1));
    let gaps = [heard[1].2 - heard[0].2, heard[2].2 - heard[1].2];
    assert!(gaps[0] > Duration::from_millis(150) && gaps[1] > Duration::from_millis(400), "{gaps:?}");
}

#[tokio::test]
async fn silence_is_a_timeout_that_names_protocol_gateway_and_time() {
    let (_gateway, port) = FakeGateway::silent().await;
    let start = Instant::now();
    let error = exchange(&port).await.unwrap_err();
    assert!(start.elapsed() >= PCP_DEADLINE);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), format!("nat-pmp: {} did not answer within 1 s", port.gateway()));
}

#[tokio::test]
async fn a_flood_of_junk_does_not_hold_up_the_deadline() {
    let (gateway, port) = FakeGateway::silent().await;
    let flood = async {
        let (_, client) = gateway.hear().await;
        loop {
            gateway.say(&[0; 1100], client).await;
            tokio::task::yield_now().await;
        }
    };
    let error = tokio::select! {
        outcome = timeout(PATIENCE, exchange(&port)) => outcome.expect("the exchange never ended").unwrap_err(),
        () = flood => unreachable!(),
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_unavailable_at_once_and_all_are_told() {
    let port = closed_port().await;
    let mut told = port.unreachable.subscribe();
    let start = Instant::now();
    let error = exchange(&port).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(&port.gateway().to_string()), "{error}");
    assert!(start.elapsed() < PCP_DEADLINE, "{:?}", start.elapsed());
    assert!(told.has_changed().unwrap(), "the other exchanges are told");
    assert_eq!(*told.borrow_and_update(), 1);
}

#[tokio::test]
async fn an_unreachable_ends_all_that_are_pending_and_none_that_come_later() {
    let (gateway, port) = FakeGateway::silent().await;
    let play = async {
        gateway.hear().await;
        gateway.hear().await;
        port.unreachable.send_modify(|count| *count += 1);
    };
    let (first, second, ()) = tokio::join!(exchange(&port), exchange(&port), play);
    assert_eq!(first.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Unavailable);

    let play = async {
        let (_, client) = gateway.hear().await;
        gateway.say(b"answer", client).await;
    };
    let (later, ()) = tokio::join!(exchange(&port), play);
    later.unwrap();
}

#[tokio::test]
async fn an_exchange_that_waits_for_its_turn_is_ended_by_an_unreachable_too() {
    let (_gateway, port) = FakeGateway::silent().await;
    let _all = port.sockets.acquire_many(u32::try_from(MAX_EXCHANGES).unwrap()).await.unwrap();
    let tell = async {
        tokio::task::yield_now().await;
        port.unreachable.send_modify(|count| *count += 1);
    };
    let (outcome, ()) = tokio::join!(port.open(Protocol::Pcp), tell);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn more_exchanges_than_turns_and_sockets_are_all_answered() {
    let (_requests, port) = FakeGateway::answering(|_| vec![b"answer".to_vec()]).await;
    for outcome in many(&port, 3 * MAX_EXCHANGES).join_all().await {
        outcome.unwrap();
    }
    assert_all_free(&port);
}

#[tokio::test]
async fn a_gateway_is_given_few_requests_at_once() {
    let (_gateway, port) = FakeGateway::silent().await;
    let mut under_way = Vec::new();
    for _ in 0..port.nat_pmp.size() {
        under_way.push(port.open(Protocol::NatPmp).await.unwrap());
    }
    assert!(under_way.len() <= 8);
    assert!(timeout(Duration::ZERO, port.open(Protocol::NatPmp)).await.is_err());
    under_way.pop();
    port.open(Protocol::NatPmp).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_to_a_gateway_that_answers_nobody_do_not_wait_for_one_another() {
    let (_gateway, port) = FakeGateway::silent().await;
    let start = Instant::now();
    for outcome in many(&port, 200).join_all().await {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert!(start.elapsed() < 6 * PCP_DEADLINE, "{:?}", start.elapsed());
    assert_all_free(&port);
}

/// How long a request that is never answered is asked, and how often, if others are answered meanwhile in so many seconds.
async fn given_up_after(insist: Duration, others_are_answered: u32) -> (Duration, usize) {
    let (gateway, port) = FakeGateway::silent().await;
    let late = Late { end: CancellationToken::new(), heard: Box::new(|(), _| ()) };
    let socket = port.open(Protocol::NatPmp).await.unwrap();
    let start = Instant::now();
    let exchange = socket.exchange(b"request", Manner { jitter: 0.0, insist }, |_| None::<()>, late);
    let others = async {
        tokio::task::yield_now().await;
        for _ in 0..others_are_answered {
            port.nat_pmp.answered(port.nat_pmp.send(), Some(Duration::from_millis(1)));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let exchange = async { (exchange.await, Instant::now()) };
    let ((outcome, given_up_at), ()) = tokio::join!(exchange, others);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    let elapsed = given_up_at - start;
    let mut heard = 0;
    while timeout(Duration::ZERO, gateway.socket.recv(&mut [0; 16])).await.is_ok() {
        heard += 1;
    }
    (elapsed, heard)
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_asked_as_long_as_it_answers_others_but_not_for_ever() {
    // At 0, 0.25, 0.75 s, and from then on every half second.
    assert_eq!(given_up_after(DELETE_DEADLINE, 1).await, (PCP_DEADLINE + UDP_DEADLINE_MAX, 11));
    assert_eq!(given_up_after(DELETE_DEADLINE, 60).await, (DELETE_DEADLINE, 31));
    assert_eq!(given_up_after(MAP_DEADLINE, 60).await, (MAP_DEADLINE, 5));
    assert_eq!(given_up_after(DELETE_DEADLINE, 0).await, (PCP_DEADLINE, 3));
    assert_eq!(given_up_after(Duration::ZERO, 60).await, (PCP_DEADLINE, 3));
}

#[tokio::test]
async fn a_protocol_that_is_not_answered_does_not_hold_up_the_other() {
    let (gateway, port) = FakeGateway::silent().await;
    let mut pcp = Vec::new();
    for _ in 0..port.pcp.size() {
        pcp.push(port.open(Protocol::Pcp).await.unwrap());
    }
    let play = async {
        let (_, client) = gateway.hear().await;
        gateway.say(b"answer", client).await;
    };
    let (outcome, ()) = tokio::join!(exchange(&port), play);
    outcome.unwrap();
}

#[tokio::test]
async fn an_answer_behind_the_deadline_is_heard_and_the_next_exchange_is_given_twice_its_time() {
    let (gateway, port) = FakeGateway::silent().await;
    let (late, mut answers) = mpsc::unbounded_channel();
    let end = CancellationToken::new();
    let ((outcome, at), (_, client)) =
        tokio::join!(async { (exchange_with(&port, &end, late).await, Instant::now()) }, gateway.hear());
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(port.nat_pmp.times().0, PCP_DEADLINE);
    gateway.say(b"no answer", client).await;
    gateway.say(b"answer", client).await;
    assert_eq!(timeout(PATIENCE, answers.recv()).await.unwrap().unwrap(), b"answer");
    let patience = port.nat_pmp.times().0;
    assert!(patience >= PCP_DEADLINE * 2 && patience <= UDP_DEADLINE_MAX, "{patience:?} after {:?}", at.elapsed());
    assert_eq!(port.pcp.times().0, PCP_DEADLINE, "the other protocol is as it was");
}

#[tokio::test]
async fn an_exchange_that_is_dropped_in_flight_is_listened_for_too() {
    let (gateway, port) = FakeGateway::silent().await;
    let (late, mut answers) = mpsc::unbounded_channel();
    let end = CancellationToken::new();
    let (_, client) = tokio::select! {
        _ = exchange_with(&port, &end, late) => unreachable!("nobody answers"),
        heard = gateway.hear() => heard,
    };
    gateway.say(b"answer", client).await;
    assert_eq!(timeout(PATIENCE, answers.recv()).await.unwrap().unwrap(), b"answer");
}

#[tokio::test(start_paused = true)]
async fn late_answers_are_listened_for_on_few_sockets_and_for_a_bounded_time() {
    let (_gateway, port) = FakeGateway::silent().await;
    let start = Instant::now();
    many(&port, 2 * MAX_LISTENERS).join_all().await;
    assert_eq!(port.listeners.available_permits(), 0);
    let all = port.listeners.acquire_many(u32::try_from(MAX_LISTENERS).unwrap()).await.unwrap();
    assert!(start.elapsed() < 2 * LATE_ANSWER_WINDOW, "{:?}", start.elapsed());
    drop(all);
}

#[tokio::test(start_paused = true)]
async fn the_listeners_end_with_their_client() {
    let (_gateway, port) = FakeGateway::silent().await;
    let end = CancellationToken::new();
    exchange_with(&port, &end, mpsc::unbounded_channel().0).await.unwrap_err();
    assert_eq!(port.listeners.available_permits(), MAX_LISTENERS - 1);
    let start = Instant::now();
    end.cancel();
    let _all = port.listeners.acquire_many(u32::try_from(MAX_LISTENERS).unwrap()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answered_or_refused_exchange_leaves_no_listener() {
    let (_requests, port) = FakeGateway::answering(|_| vec![b"answer".to_vec()]).await;
    exchange(&port).await.unwrap();
    assert_eq!(port.listeners.available_permits(), MAX_LISTENERS);
    let closed = closed_port().await;
    exchange(&closed).await.unwrap_err();
    assert_eq!(closed.listeners.available_permits(), MAX_LISTENERS);
}

#[tokio::test]
async fn a_dropped_exchange_gives_its_turn_and_socket_back() {
    let (gateway, port) = FakeGateway::silent().await;
    tokio::select! {
        _ = exchange(&port) => unreachable!("nobody answers"),
        _ = gateway.hear() => {}
    }
    assert_all_free(&port);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_local_address_that_was_asked_for_is_the_one_that_the_gateway_sees() {
    let (gateway, port) = FakeGateway::silent().await;
    let ours = IpAddr::from([127, 0, 0, 2]);
    let port = GatewayPort::new(port.gateway(), Some(ours));
    let socket = port.open(Protocol::Pcp).await.unwrap();
    assert_eq!(socket.local_address(), ours);
    let late = Late { end: CancellationToken::new(), heard: Box::new(|(), _| ()) };
    tokio::select! {
        _ = socket.exchange(b"request", Manner { jitter: 0.0, insist: Duration::ZERO }, |_| None, late) => unreachable!("nobody answers"),
        (_, from) = gateway.hear() => assert_eq!(from.ip(), ours),
    }
}

#[tokio::test]
async fn without_a_local_address_the_one_towards_the_gateway_is_used() {
    let (_gateway, port) = FakeGateway::silent().await;
    assert_eq!(port.open(Protocol::Pcp).await.unwrap().local_address(), IpAddr::V4(Ipv4Addr::LOCALHOST));
}

#[tokio::test]
async fn a_local_address_that_this_host_does_not_have_is_a_transport_error_that_names_it() {
    let port = GatewayPort::new(SocketAddr::from(([127, 0, 0, 1], 5351)), Some(IpAddr::from([192, 0, 2, 77])));
    let error = port.open(Protocol::Pcp).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(error.message().starts_with("pcp: cannot use local address 192.0.2.77: "), "{}", error.message());
    assert_all_free(&port);
}

#[test]
fn jitter_spreads_up_and_down_and_no_jitter_does_not() {
    let time = Duration::from_millis(250);
    let spreads: Vec<_> = (0..200).map(|_| spread(time, 0.1)).collect();
    assert!(spreads.iter().all(|s| (time.mul_f64(0.899)..=time.mul_f64(1.101)).contains(s)), "{spreads:?}");
    assert!(spreads.iter().any(|s| *s < time) && spreads.iter().any(|s| *s > time), "{spreads:?}");
    assert_eq!(spread(time, 0.0), time);
}

#[test]
fn lifetimes_on_the_wire_are_whole_seconds_and_never_a_delete() {
    assert_eq!(wire_lifetime(Duration::from_secs(3600)), 3600);
    assert_eq!(wire_lifetime(Duration::from_millis(1500)), 2);
    assert_eq!(wire_lifetime(Duration::ZERO), 1);
    assert_eq!(wire_lifetime(Duration::MAX - Duration::from_secs(1)), u32::MAX);
}

/// The same for port 5351 and for SSDP.
#[test]
fn a_closed_port_is_told_as_a_refusal_or_by_windows_as_a_reset() {
    for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset] {
        assert!(is_refusal(&kind.into()), "{kind}");
    }
    for kind in [io::ErrorKind::HostUnreachable, io::ErrorKind::ConnectionAborted, io::ErrorKind::TimedOut] {
        assert!(!is_refusal(&kind.into()), "{kind}");
    }
}

/// So that whoever asked can see that the network is away.
#[cfg(unix)]
#[tokio::test]
async fn a_network_that_is_away_is_a_transport_error_with_the_systems_reason() {
    let port = closed_port().await;
    for (code, reason) in [
        (libc::EHOSTUNREACH, io::ErrorKind::HostUnreachable),
        (libc::ENETUNREACH, io::ErrorKind::NetworkUnreachable),
        (libc::ENETDOWN, io::ErrorKind::NetworkDown),
        (libc::EADDRNOTAVAIL, io::ErrorKind::AddrNotAvailable),
    ] {
        let error = port.failure(Protocol::Pcp, io::Error::from_raw_os_error(code));
        assert_eq!(error.kind(), ErrorKind::Transport);
        assert_eq!(error.cause().map(|cause| cause.kind()), Some(reason));
    }
}
