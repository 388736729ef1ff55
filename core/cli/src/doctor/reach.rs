//! Whether a packet from the internet arrives, found out with the help of a reflector (`portlease reflector`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use portlease::Transport;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::reflector::{CONNECT_DEADLINE, DATAGRAMS, GREETING};

/// How long the reflector may take for a connection and for its first line.
const REFLECTOR_DEADLINE: Duration = Duration::from_secs(5);
/// How long after the last packet was sent one may still arrive.
const ARRIVAL: Duration = Duration::from_secs(2);
/// A pause after an error of a single packet or connection; the whole wait has a bound.
const AFTER_ERROR: Duration = Duration::from_millis(20);

/// Whether the port can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A packet with the reflector's number has arrived.
    Reachable(String),
    /// The reflector has sent, and nothing has arrived.
    Unreachable(String),
    Unknown(String),
}

impl Reach {
    /// The stable name in JSON.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Reachable(_) => "reachable",
            Self::Unreachable(_) => "unreachable",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What was seen.
    pub(crate) fn evidence(&self) -> &str {
        match self {
            Self::Reachable(evidence) | Self::Unreachable(evidence) | Self::Unknown(evidence) => evidence,
        }
    }
}

/// A port of this machine that is listened on until this is dropped.
#[derive(Debug)]
pub(crate) enum Ear {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

impl Ear {
    pub(crate) async fn open(transport: Transport, port: u16) -> io::Result<Self> {
        let address = (Ipv4Addr::UNSPECIFIED, port);
        Ok(match transport {
            Transport::Udp => Self::Udp(UdpSocket::bind(address).await?),
            Transport::Tcp => Self::Tcp(TcpListener::bind(address).await?),
        })
    }

    /// Waits for a packet that has exactly this text; others are ignored. Who sent it.
    async fn hear(&self, text: &str) -> SocketAddr {
        match self {
            Self::Udp(socket) => hear_datagram(socket, text).await,
            Self::Tcp(listener) => hear_connection(listener, text).await,
        }
    }
}

async fn hear_datagram(socket: &UdpSocket, text: &str) -> SocketAddr {
    let mut buffer = [0; 256];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) if &buffer[..length] == text.as_bytes() => return from,
            Ok(_) => {}
            Err(_) => sleep(AFTER_ERROR).await,
        }
    }
}

/// Strangers may connect too, and say nothing: all are heard at the same time.
async fn hear_connection(listener: &TcpListener, text: &str) -> SocketAddr {
    const MOST: usize = 32;
    let mut heard = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if heard.len() < MOST => match accepted {
                Ok((stream, from)) => {
                    heard.spawn(async move {
                        let mut bytes = Vec::new();
                        let read = timeout(ARRIVAL, stream.take(256).read_to_end(&mut bytes)).await;
                        read.is_ok_and(|read| read.is_ok()).then_some((bytes, from))
                    });
                }
                Err(_) => sleep(AFTER_ERROR).await,
            },
            joined = heard.join_next(), if !heard.is_empty() => {
                if let Some(Ok(Some((bytes, from)))) = joined
                    && bytes == text.as_bytes()
                {
                    return from;
                }
            }
        }
    }
}

/// What the reflector says of a question.
struct Promise {
    nonce: String,
    /// The address from which it was asked, and to which it sends.
    seen: IpAddr,
    rest: Lines<BufReader<TcpStream>>,
}

/// Has the reflector send to `port` of the address that it sees, and listens.
pub(crate) async fn check(reflector: SocketAddr, transport: Transport, port: u16, ear: &Ear) -> Reach {
    let Promise { nonce, seen, mut rest } = match ask(reflector, transport, port).await {
        Ok(promise) => promise,
        Err(why) => return Reach::Unknown(why),
    };
    let text = format!("{GREETING} {nonce}\n");
    let target = SocketAddr::new(seen, port);
    let mut heard = std::pin::pin!(ear.hear(&text));
    let mut latest = Instant::now() + CONNECT_DEADLINE + ARRIVAL;
    let mut result = None;
    let arrived = |from: SocketAddr| {
        Reach::Reachable(format!(
            "a packet that {} sent to {target} arrived, with the reflector's random number",
            from.ip()
        ))
    };
    loop {
        tokio::select! {
            biased;
            from = &mut heard => return arrived(from),
            line = timeout_at(latest, rest.next_line()), if result.is_none() => {
                result = Some(line.ok().and_then(Result::ok).flatten().unwrap_or_default());
                latest = Instant::now() + ARRIVAL;
            }
            () = sleep_until(latest), if result.is_some() => break,
        }
    }
    conclude(transport, target, result.as_deref().unwrap_or_default())
}

/// Nothing has arrived.
fn conclude(transport: Transport, target: SocketAddr, result: &str) -> Reach {
    let waited = ARRIVAL.as_secs();
    match (transport, result) {
        (Transport::Udp, "sent") => Reach::Unreachable(format!(
            "the reflector sent {DATAGRAMS} packets to {target}, and none arrived within {waited} s"
        )),
        (Transport::Tcp, "refused") => {
            Reach::Unreachable(format!("{target} refused the reflector's connection, and none arrived here"))
        }
        (Transport::Tcp, "timeout") => {
            Reach::Unreachable(format!("{target} did not answer the reflector's connection, and none arrived here"))
        }
        (Transport::Tcp, "connected") => Reach::Unknown(format!(
            "the reflector was connected at {target}, but not to this machine: another device answers there"
        )),
        (_, "") => Reach::Unknown("the reflector did not say whether it has sent".to_owned()),
        (_, _) => Reach::Unknown(format!("the reflector could not send to {target}")),
    }
}

async fn ask(reflector: SocketAddr, transport: Transport, port: u16) -> Result<Promise, String> {
    let failed = |why: String| format!("the reflector {reflector} {why}");
    let asking = async {
        let mut stream = TcpStream::connect(reflector).await?;
        stream.write_all(format!("{GREETING} 1 {transport} {port}\n").as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next_line().await?.unwrap_or_default();
        io::Result::Ok((first, lines))
    };
    let asked = timeout(REFLECTOR_DEADLINE, asking).await;
    let (first, rest) = asked
        .map_err(|_| failed(format!("did not answer within {} s", REFLECTOR_DEADLINE.as_secs())))?
        .map_err(|error| failed(format!("could not be asked: {error}")))?;
    match first.split(' ').collect::<Vec<_>>()[..] {
        ["nonce", nonce, seen] => {
            let seen = seen.parse().map_err(|_| failed("gave an answer that makes no sense".to_owned()))?;
            Ok(Promise { nonce: nonce.to_owned(), seen, rest })
        }
        ["error", ..] => Err(failed(format!("refused: {}", first.strip_prefix("error ").unwrap_or_default()))),
        _ => Err(failed("gave an answer that makes no sense".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reflector that announces a number and says this, and sends the text, if there is one, to the asker's port.
    async fn reflector(result: &'static str, sends: Option<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut lines = BufReader::new(stream).lines();
            let question = lines.next_line().await.unwrap().unwrap();
            let port: u16 = question.rsplit(' ').next().unwrap().parse().unwrap();
            let mut stream = lines.into_inner().into_inner();
            stream.write_all(b"nonce 42 127.0.0.1\n").await.unwrap();
            if let Some(text) = sends {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.send_to(text.as_bytes(), ("127.0.0.1", port)).await.unwrap();
            }
            stream.write_all(format!("{result}\n").as_bytes()).await.unwrap();
        });
        address
    }

    async fn verdict(result: &'static str, sends: Option<&'static str>) -> Reach {
        let ear = Ear::open(Transport::Udp, 0).await.unwrap();
        let Ear::Udp(socket) = &ear else { panic!("not udp") };
        let port = socket.local_addr().unwrap().port();
        check(reflector(result, sends).await, Transport::Udp, port, &ear).await
    }

    #[tokio::test]
    async fn reachable_is_what_a_packet_with_the_right_number_has_reached() {
        let reach = verdict("sent", Some("portlease-reflect 42\n")).await;
        assert!(matches!(&reach, Reach::Reachable(how) if how.contains("127.0.0.1")), "{reach:?}");
    }

    #[tokio::test]
    async fn a_packet_with_another_number_proves_nothing() {
        let (wrong, none) = tokio::join!(verdict("sent", Some("portlease-reflect 43\n")), verdict("sent", None));
        for reach in [wrong, none] {
            assert!(matches!(&reach, Reach::Unreachable(how) if how.contains("none arrived")), "{reach:?}");
        }
    }

    #[tokio::test]
    async fn strangers_that_connect_and_say_nothing_do_not_hide_the_packet() {
        let ear = Ear::open(Transport::Tcp, 0).await.unwrap();
        let Ear::Tcp(listener) = &ear else { panic!("not tcp") };
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let mute = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let send = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"portlease-reflect 42\n").await.unwrap();
        };
        let (from, ()) = tokio::join!(ear.hear("portlease-reflect 42\n"), send);
        assert!(from.ip().is_loopback());
        drop(mute);
    }

    #[tokio::test]
    async fn what_the_reflector_could_not_do_is_unknown() {
        let (failed, nothing) = tokio::join!(verdict("failed", None), verdict("", None));
        assert_eq!((failed.as_str(), nothing.as_str()), ("unknown", "unknown"));
        let ear = Ear::open(Transport::Udp, 0).await.unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(check(nobody, Transport::Udp, 4000, &ear).await.as_str(), "unknown");
        let connected = conclude(Transport::Tcp, nobody, "connected");
        assert_eq!(connected.as_str(), "unknown", "somebody else may have answered");
    }
}
