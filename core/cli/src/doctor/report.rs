//! `--report`: a text for support threads.

use portlease::AddressFamily;

use super::redact::{Redactor, Secret};
use super::{DoctorArgs, Seen, show};
use crate::text::{Paint, Shown};

/// The whole report without colours, masked.
pub(super) fn lines(seen: &Seen, args: &DoctorArgs) -> Vec<Shown> {
    let mut redactor = Redactor::default();
    for name in host_names() {
        redactor.add(Secret::Host, &name);
    }
    for server in [&args.stun, &args.reflector].into_iter().flatten() {
        redactor.add(Secret::Host, server.rsplit_once(':').map_or(server, |(host, _)| host));
    }
    for device in seen.router.device.iter().chain(&seen.router.others) {
        // The name is often the model's, which helps; people call their boxes otherwise.
        if device.model.as_ref().is_none_or(|model| !model.contains(&device.friendly_name)) {
            redactor.add(Secret::Name, &device.friendly_name);
        }
    }
    if let (Some(name), None) = (seen.ipv4.device(), &seen.router.device) {
        redactor.add(Secret::Name, name);
    }
    for entry in seen.ports.iter().filter_map(|port| port.holder.as_ref().ok()?.as_ref()) {
        if entry.internal_client.parse::<std::net::IpAddr>().is_err() {
            redactor.add(Secret::Host, &entry.internal_client);
        }
        if !entry.description.starts_with("portlease") {
            redactor.add(Secret::Description, &entry.description);
        }
    }
    let mut body: Vec<String> =
        show::report(seen, Paint::plain()).iter().map(|line| redactor.redact(line.as_str())).collect();
    body.push(String::new());
    body.push(format!(
        "portlease {} on {} ({})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    ));
    let programs =
        seen.asked.iter().map(|(program, said)| redactor.redact(&format!("firewall program {program}: {said}")));
    body.extend(programs.collect::<Vec<_>>());
    let works: Vec<&str> = [&seen.ipv4, &seen.ipv6]
        .into_iter()
        .filter(|findings| findings.mappable())
        .map(|findings| AddressFamily::as_str(findings.family))
        .collect();
    let works = if works.is_empty() { "none".to_owned() } else { works.join(" and ") };
    body.push(format!("families that work: {works}"));
    let mut lines = vec!["Report of portlease doctor. These were masked, one mark for one thing:".to_owned()];
    lines.extend(redactor.summary());
    lines.push(
        "Private addresses, addresses of carrier-grade NAT, ports, interface names and the router's model are shown as they are. \
         Read it before you post it."
            .to_owned(),
    );
    lines.push(String::new());
    lines.extend(body);
    lines.into_iter().map(Shown::from).collect()
}

/// The names of this machine and of its user.
fn host_names() -> Vec<String> {
    let variables = ["HOSTNAME", "COMPUTERNAME", "USER", "USERNAME", "LOGNAME"].map(std::env::var);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let names = variables.into_iter().flatten().chain(kernel).map(|name| name.trim().to_owned());
    // Everybody has them.
    names.filter(|name| !["root", "localhost", "user", "portlease"].contains(&name.as_str())).collect()
}
