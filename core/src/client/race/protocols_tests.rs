use std::net::Ipv4Addr;

use super::*;

fn order(protocols: &[Protocol]) -> Vec<(Protocol, bool, Duration, Duration)> {
    let config = Config { protocols: protocols.to_vec(), ..Config::default() };
    let path = NetworkPath::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
    let all = contestants(&config, &path, &Nonces::default(), None, &World::default());
    all.iter().map(|one| (one.protocol, one.install_is_probe, one.hedge, one.hedge_behind_alive)).collect()
}

#[test]
fn pcp_maps_without_a_question_before_it_and_the_others_hold_back_in_its_favour() {
    let expected = [
        (Protocol::Pcp, true, Duration::ZERO, Duration::ZERO),
        (Protocol::NatPmp, false, NAT_PMP_HEDGE, NAT_PMP_HEDGE),
        (Protocol::Upnp, false, UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP),
    ];
    assert_eq!(order(&expected.map(|one| one.0)), expected);
    assert!(Duration::ZERO < NAT_PMP_HEDGE && NAT_PMP_HEDGE < UPNP_HEDGE && UPNP_HEDGE < UPNP_HEDGE_BEHIND_NAT_PMP);
}

#[test]
fn whoever_is_configured_to_be_first_does_not_hold_back() {
    for first in Protocol::ALL {
        let alone = order(&[first]);
        assert_eq!((alone[0].2, alone[0].3), (Duration::ZERO, Duration::ZERO), "{first}");
    }
    let reversed = order(&[Protocol::Upnp, Protocol::NatPmp, Protocol::Pcp]);
    assert_eq!(reversed.iter().map(|one| one.0).collect::<Vec<_>>(), [Protocol::Upnp, Protocol::NatPmp, Protocol::Pcp]);
    assert!(reversed[0].2.is_zero() && !reversed[1].2.is_zero() && !reversed[2].2.is_zero());
}
