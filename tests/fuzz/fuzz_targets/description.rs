#![no_main]
//! A device description (UDA 1.1 2.3). Whatever it says, no control URL may lead to another host.
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|body: &[u8]| {
    let location = Url::parse("http://192.168.1.1:5000/rootDesc.xml").expect("a URL");
    if let Ok(description) = portlease::client::upnp::description::parse(body, &location) {
        for service in &description.services {
            assert_eq!(service.control_url.host_str(), Some("192.168.1.1"));
            assert_eq!(service.control_url.scheme(), "http");
        }
    }
});
