use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::client::udp::GatewayPort;
use crate::client::udp::tests::FakeGateway;
use crate::mapping::Transport;
use crate::state::Store;
use crate::state::tests::Dir;

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);

/// Grants what it is asked for by NAT-PMP, deletes included.
fn grant(request: &[u8]) -> Vec<Vec<u8>> {
    let header = |opcode: u8| [0, 0x80 | opcode, 0, 0, 0, 0, 0, 9];
    match request {
        [0, 0] => vec![[&header(0)[..], &[192, 0, 1, 1]].concat()],
        [0, opcode @ 1..=2, _, _, mapping @ ..] => vec![[&header(*opcode)[..], mapping].concat()],
        _ => Vec::new(),
    }
}

fn program(port: &Arc<GatewayPort>, store: Store) -> (Recorded, Arc<Store>) {
    let store = Arc::new(store);
    let journal = Journal::new(Arc::clone(&store), Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into());
    (Recorded::nat_pmp(NatPmpMapper::on(Arc::clone(port)), journal), store)
}

/// The deletes since the last call.
fn deletes(requests: &mut UnboundedReceiver<Vec<u8>>) -> usize {
    let requests = std::iter::from_fn(|| requests.try_recv().ok());
    requests.filter(|request| is_delete(request)).count()
}

fn is_delete(request: &[u8]) -> bool {
    request.len() == 12 && request[8..] == [0; 4]
}

#[tokio::test]
async fn what_a_killed_program_has_left_is_not_deleted_where_a_living_one_has_the_port() {
    let dir = Dir::new();
    let (mut requests, port) = FakeGateway::answering(grant).await;
    let (alive, _) = program(&port, dir.store());
    let mapping = alive.install(&REQUEST, HOUR).await.unwrap();
    // Another one with the same port, which is killed.
    let killed = program(&port, dir.store());
    killed.0.install(&REQUEST, HOUR).await.unwrap();
    drop(killed);

    let (next, store) = program(&port, dir.store());
    store.adopt_all();
    let left = store.leftovers();
    assert_eq!(left.len(), 1);
    next.delete(&left[0].record).await.unwrap();
    assert_eq!((deletes(&mut requests), store.leftovers().len()), (0, 0));
    alive.remove(&mapping).await.unwrap();
    assert_eq!(deletes(&mut requests), 1);
    assert!(dir.files().is_empty());
}

#[tokio::test]
async fn of_two_programs_with_one_port_the_last_one_deletes_the_mapping() {
    let dir = Dir::new();
    let (mut requests, port) = FakeGateway::answering(grant).await;
    let (one, other) = (program(&port, dir.store()).0, program(&port, dir.store()).0);
    let (of_one, of_other) = (one.install(&REQUEST, HOUR).await.unwrap(), other.install(&REQUEST, HOUR).await.unwrap());
    one.remove(&of_one).await.unwrap();
    assert_eq!((deletes(&mut requests), dir.files().len()), (0, 1));
    other.remove(&of_other).await.unwrap();
    assert_eq!((deletes(&mut requests), dir.files().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_programs_with_one_port_that_end_at_the_same_moment_one_deletes_the_mapping() {
    for turn in 0..200 {
        let dir = Dir::new();
        let heard = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&heard);
        // Counts before it answers, so that what was answered is counted.
        let (_requests, port) = FakeGateway::answering(move |request| {
            counted.fetch_add(usize::from(is_delete(request)), Ordering::SeqCst);
            grant(request)
        })
        .await;
        let (one, other) = (program(&port, dir.store()).0, program(&port, dir.store()).0);
        let of_one = one.install(&REQUEST, HOUR).await.unwrap();
        let of_other = other.install(&REQUEST, HOUR).await.unwrap();
        let ends = [(one, of_one), (other, of_other)]
            .map(|(client, mapping)| tokio::spawn(async move { client.remove(&mapping).await.unwrap() }));
        for end in ends {
            end.await.unwrap();
        }
        assert!(heard.load(Ordering::SeqCst) > 0, "turn {turn}: each has left it to the other");
        assert!(dir.files().is_empty());
    }
}

/// A gateway where the port is mapped with this nonce: it refuses every other one.
fn grant_to(nonce: Nonce) -> impl Fn(&[u8]) -> Vec<Vec<u8>> {
    move |request| {
        let result = if request.get(24..36) == Some(&nonce) { 0 } else { 2 };
        let answer = [&[2, 0x81, 0, result, 0, 0, 14, 16, 0, 0, 0, 9][..], &[0; 12], &request[24..]].concat();
        vec![answer]
    }
}

#[tokio::test]
async fn of_many_programs_that_ask_at_the_same_moment_each_finds_the_nonce_of_the_one_that_has_the_mapping() {
    let (has, has_not) = (*b"that has it!", *b"that has not");
    for _ in 0..8 {
        let dir = Dir::new();
        let (_requests, port) = FakeGateway::answering(grant_to(has)).await;
        // Which of them is found first is a matter of chance.
        let others = [has_not, has, has_not, has_not].map(|nonce| {
            let store = dir.store();
            let others = Journal::new(Arc::new(store), Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into());
            others.write(others.entry((REQUEST.transport, 4000), Some(4000), Some(HOUR), Maker::Pcp { nonce }));
            others
        });
        let nonces = Nonces::default();
        let journal = Journal::new(Arc::new(dir.store()), Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into());
        let last = Recorded::pcp(PcpMapper::on(port).with_nonces(nonces.clone()), nonces.clone(), journal);
        let mapping = last.install(&REQUEST, HOUR).await.unwrap();
        assert!(matches!(mapping.token, ProtocolToken::Pcp { nonce } if nonce == has));
        drop(others);
    }
}
