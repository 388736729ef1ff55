use std::net::Ipv4Addr;

use super::*;
use crate::client::vectors;

/// One line about a reply, as the vectors write it.
fn read(datagram: &[u8]) -> String {
    match parse(datagram) {
        None => "ignored".to_owned(),
        Some(Reply::OtherVersion { version, .. }) => format!("other version {version}"),
        Some(Reply::Response(Response { opcode, result, lifetime, epoch, map })) => {
            let head = format!("opcode {opcode} {result} lifetime {} epoch {epoch}", lifetime.as_secs());
            let Some(map) = map else { return head };
            let nonce: String = map.nonce.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(
                "{head} map {} {} -> {} {} nonce {nonce}",
                map.protocol, map.internal_port, map.external_address, map.external_port
            )
        }
    }
}

#[test]
fn every_vector_reads_as_it_says_and_no_truncation_of_it_panics() {
    for vector in vectors::read("pcp") {
        let datagram = &vector.message;
        assert_eq!(read(datagram), vector.field("expect"), "{}", vector.name);
        for length in 0..datagram.len() {
            let cut = read(&datagram[..length]);
            // What is cut inside the header says nothing, but for a refusal of the version.
            assert!(length >= HEADER_LENGTH || cut == "ignored" || cut.starts_with("other version"), "{cut}");
        }
    }
}

#[test]
fn datagrams_of_every_length_are_survived() {
    for length in 0..=MAX_LENGTH {
        for datagram in [vec![0; length], vec![0xff; length], (0..length).map(|_| rand::random()).collect()] {
            read(&datagram);
            let like_a_response = [&[VERSION, RESPONSE | 1, 0, 0][..], &datagram].concat();
            read(&like_a_response);
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    for address in ["192.0.1.1", "0.0.0.0", "2001:db8::1", "::"] {
        let address: IpAddr = address.parse().unwrap();
        let map = MapFields {
            nonce: *b"twelve bytes",
            protocol: 17,
            internal_port: 4000,
            external_port: 4100,
            external_address: address,
        };
        for prefer_failure in [false, true] {
            let mut message = map_request(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 2)), 3600, &map, prefer_failure);
            assert_eq!(message.len(), if prefer_failure { MAP_LENGTH + 4 } else { MAP_LENGTH });
            assert_eq!(parse(&message), None, "a request is no response");
            message[1] |= RESPONSE;
            let Some(Reply::Response(response)) = parse(&message) else { panic!("{message:?}") };
            assert_eq!((response.map, response.lifetime), (Some(map), Duration::from_secs(3600)));
        }
    }
}

#[test]
fn an_announce_request_is_a_header_alone_with_an_ipv6_client_written_as_it_is() {
    let client: Ipv6Addr = "2001:db8::2".parse().unwrap();
    let message = announce_request(IpAddr::V6(client));
    assert_eq!(message[..8], [2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(message[8..], client.octets());
}

#[test]
fn result_codes_have_the_names_of_rfc_6887_at_their_numbers() {
    for (index, (result, name)) in NAMES.into_iter().enumerate() {
        assert_eq!(ResultCode::from(u8::try_from(index).unwrap()), result);
        assert_eq!(result.to_string(), name);
    }
    assert_eq!(ResultCode::from(8), ResultCode::NoResources);
    assert_eq!(ResultCode::from(13), ResultCode::ExcessiveRemotePeers);
    assert_eq!(ResultCode::from(14), ResultCode::Other(14));
    assert_eq!(ResultCode::Other(255).to_string(), "result code 255");
}
