//! `portlease reflector`: sends one packet back to whoever asks, so that `portlease doctor` sees whether it arrives.
//!
//! The question comes by TCP, so its sender has proved that it has its address, and only that address is ever sent anything. The
//! asker chooses the port and the transport, and nothing of what is sent.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use portlease::{PortMappingError, Transport};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::outcome::{DONE, Outcome, with_statuses};
use crate::output::Output;
use crate::signals::Signals;
use crate::text::Shown;

/// The port on which it is asked.
pub(crate) const PORT: u16 = 35351;
/// The first word of a question, and of what is sent.
pub(crate) const GREETING: &str = "portlease-reflect";
/// How many datagrams answer a question about UDP: one may be lost.
pub(crate) const DATAGRAMS: u32 = 3;
const DATAGRAM_PACE: Duration = Duration::from_millis(200);
/// How long the asker may take to ask.
const QUESTION_DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection back may take.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
const LONGEST_QUESTION: u64 = 64;
/// Questions that are being answered at one time; more are turned away.
const MOST_AT_ONCE: usize = 32;
/// Addresses whose questions are counted; more are turned away until a minute is over.
const MOST_ADDRESSES: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

const LONG_ABOUT: &str = "\
Answer `portlease doctor PORT --reflector HOST`: send a packet from outside to the port that doctor has mapped, so that doctor \
sees whether it arrives.

Run it on a machine with a public IPv4 address that is not behind the router in question, such as a rented server. It keeps no \
record and writes nothing about who asks.

What it cannot be used for: it sends only to the address that asks, and the question comes by TCP, so a forged address gets \
nothing. A question is answered by at most 3 datagrams of about 60 bytes, or by one TCP connection that carries one line of that \
size. The text has a random number that the reflector chooses, so nobody can have it send words of theirs. One address may ask 10 \
times a minute unless --rate says otherwise; at most 32 questions are answered at one time.

What is left: addresses behind one carrier-grade NAT are one address to the internet. Somebody there can have a packet sent to a \
port that a neighbour has opened. It tells them no more than a connection of their own to it would.";

const EXAMPLES: &str = "\
Examples:
  portlease reflector                          listen on all IPv4 addresses, port 35351
  portlease reflector --bind 192.0.1.2:9000    listen on one address
  portlease doctor 4000/udp --reflector reflector.example    on the machine at home";

static AFTER_HELP: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| with_statuses(EXAMPLES));

/// Send a packet back to whoever asks, for `portlease doctor PORT --reflector`
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP.as_str())]
pub(crate) struct ReflectorArgs {
    /// Address and TCP port to listen on
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))]
    bind: SocketAddr,
    /// Questions that one address may ask in a minute
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    rate: u32,
}

pub(crate) async fn run(args: ReflectorArgs) -> Outcome {
    let output = Output::plain();
    let mut signals = Signals::listen()?;
    let failed = |error| PortMappingError::transport(format_args!("cannot listen on {}", args.bind), error);
    let listener = TcpListener::bind(args.bind).await.map_err(failed)?;
    output.line(Shown::from(format!("reflector listens on {}", listener.local_addr()?)))?;
    tokio::select! {
        served = serve(&listener, args.rate) => Err(PortMappingError::transport("the reflector cannot go on", served).into()),
        () = signals.next() => Ok(DONE),
    }
}

/// Answers questions; returns only if the listener fails for good.
async fn serve(listener: &TcpListener, rate: u32) -> io::Error {
    let (places, counts) = (Arc::new(Semaphore::new(MOST_AT_ONCE)), Arc::new(Counts::default()));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Too many open files, or a connection that is gone again: neither is a reason to end.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                sleep(DATAGRAM_PACE).await;
                continue;
            }
            Err(error) => return error,
        };
        // Closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            // An asker that goes away gets no answer.
            let _ = answer(stream, peer.ip().to_canonical(), rate, &counts).await;
            drop(place);
        });
    }
}

/// How often each address has asked within a minute.
#[derive(Debug, Default)]
struct Counts(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Counts {
    /// Counts a question of this address; whether it may be answered.
    fn permit(&self, address: IpAddr, rate: u32, now: Instant) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |begin: Instant| now.saturating_duration_since(begin) < MINUTE;
        if counts.len() >= MOST_ADDRESSES && !counts.contains_key(&address) {
            counts.retain(|_, (begin, _)| fresh(*begin));
            if counts.len() >= MOST_ADDRESSES {
                return false;
            }
        }
        let (begin, count) = counts.entry(address).or_insert((now, 0));
        if !fresh(*begin) {
            (*begin, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= rate
    }
}

async fn answer(mut stream: TcpStream, asker: IpAddr, rate: u32, counts: &Counts) -> io::Result<()> {
    if !counts.permit(asker, rate, Instant::now()) {
        return stream.write_all(b"error too many questions, ask again in a minute\n").await;
    }
    let mut question = String::new();
    let read = async { BufReader::new((&mut stream).take(LONGEST_QUESTION)).read_line(&mut question).await };
    match timeout(QUESTION_DEADLINE, read).await {
        Ok(read) => read?,
        Err(_) => return Ok(()),
    };
    let Some((transport, port)) = parse(&question) else {
        return stream.write_all(b"error not a question of portlease doctor\n").await;
    };
    let nonce = format!("{:032x}", rand::random::<u128>());
    // The asker knows what to expect before it comes.
    stream.write_all(format!("nonce {nonce} {asker}\n").as_bytes()).await?;
    let target = SocketAddr::new(asker, port);
    let text = format!("{GREETING} {nonce}\n");
    let result = match transport {
        Transport::Udp => send(target, &text).await.map(|()| "sent"),
        Transport::Tcp => connect(target, &text).await,
    };
    let reasons = [(io::ErrorKind::ConnectionRefused, "refused"), (io::ErrorKind::TimedOut, "timeout")];
    let reason = |error: io::Error| reasons.iter().find(|(kind, _)| *kind == error.kind()).map(|(_, reason)| *reason);
    let result = result.unwrap_or_else(|error| reason(error).unwrap_or("failed"));
    stream.write_all(format!("{result}\n").as_bytes()).await
}

/// `portlease-reflect 1 udp 4000`.
fn parse(question: &str) -> Option<(Transport, u16)> {
    let words: Vec<&str> = question.strip_suffix('\n')?.split(' ').collect();
    match words[..] {
        [GREETING, "1", transport, port] => {
            Some((transport.parse().ok()?, port.parse().ok().filter(|port| *port != 0)?))
        }
        _ => None,
    }
}

fn any(target: SocketAddr) -> SocketAddr {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(any, 0)
}

async fn send(target: SocketAddr, text: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(any(target)).await?;
    for number in 0..DATAGRAMS {
        if number > 0 {
            sleep(DATAGRAM_PACE).await;
        }
        socket.send_to(text.as_bytes(), target).await?;
    }
    Ok(())
}

async fn connect(target: SocketAddr, text: &str) -> io::Result<&'static str> {
    let connecting = async {
        let mut stream = TcpStream::connect(target).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    };
    timeout(CONNECT_DEADLINE, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok("connected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_may_ask_so_often_in_a_minute_and_others_do_not_suffer() {
        let (counts, now) = (Counts::default(), Instant::now());
        let [one, other] = [1, 2].map(|last| IpAddr::from([192, 0, 1, last]));
        assert_eq!([0; 4].map(|_| counts.permit(one, 3, now)), [true, true, true, false]);
        assert!(counts.permit(other, 3, now));
        assert!(!counts.permit(one, 3, now + MINUTE - Duration::from_secs(1)));
        assert!(counts.permit(one, 3, now + MINUTE));
    }

    #[test]
    fn many_addresses_take_a_bounded_room() {
        let (counts, now) = (Counts::default(), Instant::now());
        for number in 0..u32::try_from(MOST_ADDRESSES).unwrap() {
            assert!(counts.permit(Ipv4Addr::from(number).into(), 1, now));
        }
        let late = IpAddr::from([250, 0, 0, 1]);
        assert!(!counts.permit(late, 1, now));
        assert!(counts.permit(late, 1, now + MINUTE));
        assert_eq!(counts.0.lock().unwrap().len(), 1, "the old ones are forgotten");
    }

    #[test]
    fn only_questions_of_doctor_are_understood() {
        assert_eq!(parse("portlease-reflect 1 udp 4000\n"), Some((Transport::Udp, 4000)));
        for text in [
            "",
            "\n",
            "portlease-reflect 1 udp 4000",
            "portlease-reflect 1 udp 0\n",
            "portlease-reflect 1 udp 65536\n",
            "portlease-reflect 1 icmp 4000\n",
            "portlease-reflect 2 udp 4000\n",
            "GET / HTTP/1.1\n",
            "portlease-reflect 1 udp 4000 192.0.2.1\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    async fn ask(address: SocketAddr, question: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn what_is_sent_has_the_number_that_was_announced_and_goes_to_the_asker() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = target.local_addr().unwrap().port();
        let test = async {
            let answer = ask(address, &format!("{GREETING} 1 udp {port}\n")).await;
            let mut lines = answer.lines();
            let words: Vec<&str> = lines.next().unwrap().split(' ').collect();
            assert_eq!((words[0], words[2]), ("nonce", "127.0.0.1"));
            assert_eq!(lines.next(), Some("sent"));
            let mut buffer = [0; 100];
            let (length, _) = target.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], format!("{GREETING} {}\n", words[1]).as_bytes());
            assert!(ask(address, "GET / HTTP/1.1\n").await.starts_with("error not a question"));
            assert!(ask(address, "").await.starts_with("error too many questions"));
        };
        tokio::select! {
            () = test => {}
            error = serve(&listener, 2) => panic!("{error}"),
        }
    }
}
