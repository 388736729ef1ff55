//! The program `upnpc` as the second client.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use portlease_gateway::Gateway;

use crate::second::Wish;

/// Whether the program is there. Says on the terminal itself, which the test harness does not capture, if it is not.
pub(crate) fn is_installed() -> bool {
    let installed = ["/usr/bin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join("upnpc").exists());
    if !installed {
        std::io::stderr().write_all(b"skipped: upnpc is not installed\n").expect("the terminal takes it");
    }
    installed
}

/// Asks for one mapping, or deletes it. False if the program did not reach the router.
pub(crate) fn ask(wish: &Wish, gateway: &Gateway) -> bool {
    let Wish { transport, external_port, internal_port, lifetime, .. } = wish;
    let (url, transport) = (gateway.description_url(), transport.to_string());
    let numbers = [external_port.to_string(), internal_port.to_string(), lifetime.to_string()];
    let [external, internal, lifetime_text] = &numbers;
    let arguments: Vec<&str> = if *lifetime == 0 {
        vec!["-u", &url, "-d", external, &transport]
    } else {
        vec!["-u", &url, "-e", "by upnpc", "-a", "127.0.0.1", internal, external, &transport, lifetime_text]
    };
    // Its exit code tells little; what it has done is in the router's table.
    Command::new("upnpc").args(arguments).output().is_ok()
}
