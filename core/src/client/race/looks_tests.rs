//! A mapping that another program may have deleted.

use super::*;
use crate::schedule::{DEFAULT_CHECK_INTERVAL, LOOKS};
use crate::world::Change;

/// What a look brings.
type Seen = Result<(), PortMappingError>;

fn gone() -> PortMappingError {
    PortMappingError::refused_and_lost("external port 4000 is no longer mapped")
}

async fn held(protocol: Protocol) -> Setup {
    let setup = Setup::new().checked_every(DEFAULT_CHECK_INTERVAL);
    setup.attend();
    setup.hold(protocol, 1).await;
    setup
}

/// When the client was asked since the start, in seconds, and the changes that the leases heard of, each with its time.
async fn watch(setup: &Setup, protocol: Protocol, answers: &[Seen], during: Duration) -> (Vec<u64>, Vec<u64>) {
    let racer = match protocol {
        Protocol::Pcp => &setup.pcp,
        Protocol::NatPmp => &setup.nat_pmp,
        Protocol::Upnp | Protocol::None => &setup.upnp,
    };
    for answer in answers {
        racer.on_probe(Duration::ZERO, answer.clone());
    }
    let (start, mut changes) = (Instant::now(), setup.world.watch());
    let (mut looks, mut doubts, mut before) = (Vec::new(), Vec::new(), racer.calls().probe);
    while start.elapsed() < during {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (seconds, asked) = (start.elapsed().as_secs(), racer.calls().probe);
        looks.extend((before..asked).map(|_| seconds));
        before = asked;
        match changes.take() {
            Some(Change::Unsure) => doubts.push(seconds),
            Some(Change::Moved) => panic!("nothing has moved"),
            None => {}
        }
    }
    (looks, doubts)
}

#[tokio::test(start_paused = true)]
async fn a_new_mapping_is_looked_at_within_seconds_and_a_few_times_more_and_then_once_in_each_interval() {
    for protocol in Protocol::ALL {
        let setup = held(protocol).await;
        let (looks, doubts) = watch(&setup, protocol, &vec![Ok(()); 20], Duration::from_secs(900)).await;
        let early: Vec<_> = LOOKS.iter().map(Duration::as_secs).collect();
        assert_eq!(looks[..4], early, "{protocol}");
        // The last look is a sign of life, from which the interval counts.
        let checks: Vec<_> = looks[4..].iter().map(|at| at.div_ceil(10) * 10).collect();
        assert_eq!(checks, [420, 720], "{protocol}: {looks:?}");
        assert_eq!(doubts, [0; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_is_gone_puts_all_leases_in_doubt_and_is_looked_at_from_the_start_again() {
    let setup = held(Protocol::Upnp).await;
    let answers = [Ok(()), Err(gone()), Ok(()), Ok(())];
    let (looks, doubts) = watch(&setup, Protocol::Upnp, &answers, Duration::from_secs(40)).await;
    assert_eq!((looks, doubts), (vec![5, 15, 20, 30], vec![15]));
}

#[tokio::test(start_paused = true)]
async fn a_look_without_an_answer_says_nothing_and_a_lease_that_has_ended_is_not_looked_at() {
    let setup = held(Protocol::Upnp).await;
    let answers = [Err(silent(MS)), Err(PortMappingError::refused("busy"))];
    let (looks, doubts) = watch(&setup, Protocol::Upnp, &answers, Duration::from_secs(20)).await;
    assert_eq!((looks, doubts), (vec![5, 15], vec![]));
    setup.race.remove(&granted(Protocol::Upnp, 0)).await.unwrap();
    let (looks, _) = watch(&setup, Protocol::Upnp, &[], HOUR).await;
    assert_eq!(looks, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_look_brings_back_after_the_end_of_the_lease_is_deleted() {
    let setup = held(Protocol::NatPmp).await;
    setup.nat_pmp.on_probe(Duration::from_secs(1), Ok(()));
    tokio::time::sleep(LOOKS[0] + Duration::from_millis(500)).await;
    let mapping = granted(Protocol::NatPmp, 0);
    setup.race.remove(&mapping).await.unwrap();
    assert_eq!(setup.nat_pmp.calls().remove, 1);
    setup.race.abandon(&mapping.request).await.unwrap();
    assert_eq!(setup.nat_pmp.calls().remove, 2, "the renewal was under way when the delete was sent");
}
