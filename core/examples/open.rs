//! The smallest use: one port, opened and closed. `cargo run --example open -- 4000`

use std::time::Instant;

use portlease::{PortMappingError, Transport, open, wait};

fn main() -> Result<(), PortMappingError> {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(4000);
    let started = Instant::now();
    let open = wait(open(port, Transport::Udp))?;
    let took = started.elapsed();
    let snapshot = open.snapshot();
    let external = snapshot.external().map_or_else(|| "an unknown address".to_owned(), |external| external.to_string());
    if let Some(protocol) = snapshot.protocol() {
        eprintln!("udp port {port} is mapped to {external} by {protocol} ({took:.1?}); Enter closes it");
    }
    std::io::stdin().read_line(&mut String::new()).ok();
    wait(open.stop(None));
    Ok(())
}
