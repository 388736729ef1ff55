//! Replays `tests/vectors`: every file must read as its `expected.json` says, and no part of any file may do harm.

use serde_json::{Value, json};
use url::Url;

use super::{description, http, notify, soap, ssdp};
use crate::client::vectors::{self, Vector};

/// Every vector of a folder with its expectation. Files without one, and the reverse, are a failure.
fn vectors(folder: &str) -> Vec<(String, Vec<u8>, Value)> {
    let expected = std::fs::read(vectors::folder(folder).join(vectors::EXPECTED)).unwrap();
    let mut expected: serde_json::Map<String, Value> = serde_json::from_slice(&expected).unwrap();
    let mut with_expectation = Vec::new();
    for Vector { name, message, .. } in vectors::read(folder) {
        let expectation = expected.remove(&name).unwrap_or_else(|| panic!("{name} is not in expected.json"));
        with_expectation.push((name, message, expectation));
    }
    assert!(expected.is_empty(), "expected.json names files that are not there: {expected:?}");
    with_expectation
}

/// Calls `parse` with every beginning of `bytes`, and with one byte after another damaged where that does not take long.
fn mangled(bytes: &[u8], mut parse: impl FnMut(&[u8])) {
    for end in 0..=bytes.len() {
        parse(&bytes[..end]);
    }
    let mut damaged = bytes[..bytes.len().min(1000)].to_vec();
    let values = [0, b'<', b'>', b'&', b'\n', 0xff];
    for index in (0..damaged.len()).step_by(5) {
        let before = std::mem::replace(&mut damaged[index], values[index % values.len()]);
        parse(&damaged);
        damaged[index] = before;
    }
}

#[test]
fn every_description_vector_reads_as_expected_and_its_fragments_do_no_harm() {
    for (name, bytes, expected) in vectors("description") {
        let location = Url::parse(expected["location"].as_str().unwrap()).unwrap();
        match description::parse(&bytes, &location) {
            Err(why) => assert_eq!(expected["error"], json!(true), "{name}: {why}"),
            Ok(description) => {
                let told = |service: &description::Service| json!([service.service_type, service.control_url.as_str()]);
                let services: Vec<_> = description.services.iter().map(told).collect();
                let pinholes: Vec<_> = description.pinholes.iter().map(told).collect();
                let read = json!({
                    "location": location.as_str(),
                    "friendly_name": description.friendly_name,
                    "manufacturer": description.manufacturer,
                    "model": description.model,
                    "udn": description.udn,
                    "services": services,
                });
                let mut expected = expected.clone();
                expected["location"] = json!(location.as_str());
                let opens = expected.as_object_mut().and_then(|expected| expected.remove("pinholes"));
                assert_eq!(read, expected, "{name}");
                assert_eq!(json!(pinholes), opens.unwrap_or_else(|| json!([])), "{name}");
            }
        }
        let whole_urls = expected["services"].to_string();
        mangled(&bytes, |part| {
            for service in description::parse(part, &location).into_iter().flat_map(|found| found.services) {
                assert_eq!(service.control_url.host_str(), location.host_str(), "{name} leads to another host");
                let cut = bytes.starts_with(part);
                let whole = whole_urls.contains(&format!("\"{}\"", service.control_url));
                assert!(!cut || whole, "{name} cut at {} gives half a URL: {}", part.len(), service.control_url);
            }
        });
    }
}

#[test]
fn every_ssdp_vector_reads_as_expected_and_its_fragments_do_no_harm() {
    for (name, bytes, expected) in vectors("ssdp") {
        let read = ssdp::parse_response(&bytes);
        match (&read, expected["location"].as_str()) {
            (Some(answer), Some(location)) => {
                assert_eq!(answer.location.as_str(), location, "{name}");
                let responder = expected["responder"].as_str().unwrap().parse().unwrap();
                assert_eq!(json!(answer.trusted(responder)), expected["trusted"], "{name}");
                assert_eq!(json!(answer.names_a_gateway()), expected["names_a_gateway"], "{name}");
            }
            (None, None) => {}
            _ => panic!("{name}: {read:?}, not {expected}"),
        }
        mangled(&bytes, |part| drop(ssdp::parse_response(part)));
    }
}

#[test]
fn every_announcement_among_the_ssdp_vectors_reads_as_expected_and_its_fragments_do_no_harm() {
    let mut announcements = 0;
    for (name, bytes, expected) in vectors("ssdp") {
        let read = notify::parse(&bytes).map(|read| {
            announcements += 1;
            let sender = expected["sender"].as_str().unwrap_or_else(|| panic!("{name}: {read:?}")).parse().unwrap();
            json!({
                "kind": format!("{:?}", read.kind),
                "udn": read.udn(),
                "location": read.location.as_ref().map(Url::as_str),
                "boot_id": read.boot_id,
                "next_boot_id": read.next_boot_id,
                "max_age": read.max_age.map(|age| age.as_secs()),
                "trusted": read.trusted(sender),
            })
        });
        assert_eq!(json!(read), expected["notification"], "{name}");
        mangled(&bytes, |part| {
            let location = notify::parse(part).and_then(|read| read.location);
            let whole = expected["notification"]["location"].as_str().unwrap_or_default();
            let cut = bytes.starts_with(part);
            assert!(!cut || location.is_none_or(|location| whole == location.as_str()), "{name} cut at {}", part.len());
        });
    }
    assert!(announcements > 0);
}

#[test]
fn every_soap_vector_reads_as_expected_and_its_fragments_do_no_harm() {
    for (name, bytes, expected) in vectors("soap") {
        let fault = soap::parse_fault(&bytes);
        assert_eq!(
            json!(fault.as_ref().map(|fault| json!([fault.code, fault.description]))),
            expected["fault"],
            "{name}"
        );
        if fault.is_none() {
            assert_eq!(json!(soap::parse_arguments(&bytes)), expected["fields"], "{name}");
        }
        mangled(&bytes, |part| {
            drop(soap::parse_fault(part));
            drop(soap::parse_arguments(part));
        });
    }
}

#[test]
fn every_http_vector_reads_as_expected_whole_and_byte_by_byte() {
    for (name, bytes, expected) in vectors("http") {
        let whole = http::parse_response(&bytes);
        match &whole {
            Ok(response) => {
                let body = String::from_utf8_lossy(&response.body);
                assert_eq!(json!({"status": response.status, "body": body}), expected, "{name}");
            }
            Err(error) => assert_eq!(expected, Value::Null, "{name}: {error}"),
        }
        let mut decoder = http::Decoder::default();
        let fed = bytes.iter().try_for_each(|byte| decoder.feed(&[*byte]).map(drop));
        let bytewise = fed.and_then(|()| decoder.finish());
        assert_eq!(bytewise.ok(), whole.ok(), "{name} reads otherwise byte by byte");
        mangled(&bytes, |part| drop(http::parse_response(part)));
    }
}
