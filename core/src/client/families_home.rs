//! A machine at home, in a namespace of its own, with a router that opens pinholes by PCP.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use super::*;
use crate::Lease;
use crate::net::namespace::{Neighbour, in_namespace, ip, with_neighbour};
use crate::snapshot::LeaseSnapshot;

/// Longer than anything that is waited for here may take: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The open ports of a router, each with its nonce, and how many requests came over IPv6.
#[derive(Default)]
struct Router {
    open: Mutex<HashMap<(Ipv6Addr, u8, u16), Vec<u8>>>,
    requests: Mutex<usize>,
    /// Whether it answers nobody over IPv6.
    mute: AtomicBool,
    /// Its first answer; it has run for long before that.
    began: OnceLock<Instant>,
    /// Its last restart.
    started: Mutex<Option<Instant>>,
}

impl Router {
    /// Speaks PCP at the far end of the cable, from the very address that is asked.
    fn serve(&self, neighbour: &Neighbour<'_>) {
        for address in ["fe80::1/64", "2600:1::1/64", "2600:2::1/64"] {
            ip(&format!("addr add {address} dev lan0-far nodad"));
        }
        ip("addr add 192.168.1.1/24 dev lan0-far");
        let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        let line = table.lines().find(|line| line.ends_with(" lan0-far")).unwrap();
        let link = u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        let ipv6 = SocketAddrV6::new("fe80::1".parse().unwrap(), 5351, 0, link);
        let sockets = [SocketAddr::from(([192, 168, 1, 1], 5351)), ipv6.into()].map(|address| {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        });
        neighbour.is_ready();
        let mut buffer = [0; 1100];
        while neighbour.goes_on() {
            for socket in &sockets {
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    *self.requests.lock().unwrap() += usize::from(from.is_ipv6());
                    if from.is_ipv4() || !self.mute.load(Relaxed) {
                        // A client that is gone is no reason to end.
                        drop(socket.send_to(&self.answer(&buffer[..length], from.ip()), from));
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn answer(&self, request: &[u8], from: IpAddr) -> Vec<u8> {
        let client = Ipv6Addr::from(*request[8..].first_chunk::<16>().unwrap());
        let mut answer = request[..request.len().min(60)].to_vec();
        answer[1] |= 0x80;
        answer[8..24].fill(0);
        let began = *self.began.get_or_init(Instant::now);
        let epoch = self.started.lock().unwrap().map_or(began.elapsed().as_secs() + 1000, |at| at.elapsed().as_secs());
        answer[8..12].copy_from_slice(&(epoch as u32).to_be_bytes());
        if request[1] == 1 {
            let place = (client, request[36], u16::from_be_bytes([request[40], request[41]]));
            let mut open = self.open.lock().unwrap();
            let nonce = request[24..36].to_vec();
            answer[3] = match open.get(&place) {
                // ADDRESS_MISMATCH.
                _ if from != client.to_canonical() => 12,
                // NOT_AUTHORIZED.
                Some(other) if *other != nonce => 2,
                _ if request[4..8] == [0; 4] => {
                    open.remove(&place);
                    0
                }
                _ => {
                    open.insert(place, nonce);
                    0
                }
            };
        }
        answer
    }

    /// Starts anew, with nothing open.
    fn restart(&self) {
        self.open.lock().unwrap().clear();
        *self.started.lock().unwrap() = Some(Instant::now());
    }

    fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }

    fn open(&self) -> Vec<String> {
        let mut open: Vec<_> = self.open.lock().unwrap().keys().map(|place| place.0.to_string()).collect();
        open.sort();
        open
    }
}

/// A machine with a stable address of the first prefix, a temporary one, and a router that opens pinholes.
fn at_home(test: impl FnOnce(&Router) + Send) {
    in_namespace(|| {
        if !std::path::Path::new("/proc/sys/net/ipv6").exists() {
            eprintln!("skipped: this machine has no IPv6");
            return;
        }
        let router = Router::default();
        with_neighbour(
            "lan0",
            |runs| router.serve(runs),
            || {
                for (setting, value) in [("accept_dad", "0"), ("use_tempaddr", "2")] {
                    std::fs::write(format!("/proc/sys/net/ipv6/conf/lan0/{setting}"), value).unwrap();
                }
                ip("addr add fe80::5/64 dev lan0 nodad");
                ip("addr add 2600:1::5/64 dev lan0 mngtmpaddr nodad valid_lft 3600 preferred_lft 3600");
                ip("-6 route add default via fe80::1 dev lan0");
                test(&router);
            },
        );
    });
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a lease shows once it is mapped, at the first attempt or, on a busy machine, at a later one.
fn mapped(lease: &Lease) -> LeaseSnapshot {
    until("the port is mapped", || lease.snapshot().active);
    lease.snapshot()
}

/// A port for each test: in their namespaces all have the same router, and to a process that is one, whose ports mappers share.
const fn pinhole(port: u16) -> MapRequest {
    MapRequest::new(port, Transport::Udp).family(AddressFamily::Ipv6)
}

/// Adds the way of IPv4.
fn with_ipv4() {
    ip("addr add 192.168.1.5/24 dev lan0");
    ip("route add default via 192.168.1.1 dev lan0");
}

/// How many sockets of IPv6 are open in the namespace of this test.
fn sockets() -> usize {
    let table = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
    ["udp6", "tcp6"].map(|name| table(name).lines().skip(1).count()).iter().sum()
}

/// A folder for records that is gone with the test, and mappers that go like in a crash: nothing is deleted.
struct Crashes(std::path::PathBuf);

impl Crashes {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("portlease-{name}-{}", std::process::id())))
    }

    fn config(&self) -> Config {
        Config::default().protocols([Protocol::Pcp]).state_dir(&self.0)
    }

    fn crash(&self, request: &MapRequest) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let families = Families::new(self.config(), &Worlds::default());
        // A busy machine may answer itself too late.
        until("the port is mapped", || runtime.block_on(families.install(request, DEFAULT_TTL)).is_ok());
    }
}

impl Drop for Crashes {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[path = "families_ends_tests.rs"]
mod ends_tests;
#[path = "families_home_tests.rs"]
mod tests;
