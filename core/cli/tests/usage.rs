//! Bad usage: status 2, a message that names the argument, and nothing sent to any router.

mod common;

use common::*;

/// A command line, and what the message must contain.
const CASES: [(&str, &str); 84] = [
    ("", "Usage: portlease <COMMAND>"),
    ("nosuch", "nosuch"),
    ("map", "PORT/TRANSPORT"),
    ("map 4000", "write 4000/udp, 4000/tcp or 4000/both"),
    ("map http", "4000/udp"),
    ("map 0/udp", "must be between 1 and 65535, not `0`"),
    ("map 65536/udp", "must be between 1 and 65535, not `65536`"),
    ("map 4000/sctp", "`sctp` is not one of udp, tcp, both"),
    ("map 4000/udp 4000/both", "invalid: port: 4000/udp is given twice"),
    ("map 4000/udp,http", "for example 4000/udp, 8080/tcp or 4000/both; a range is 4000-4010/udp"),
    ("map 1-60000/udp", "`1-60000` is 60000 ports; one command can map at most 256"),
    ("map 4000-4200/udp 5000-5200/udp", "invalid: port: 402 mappings; one command can map at most 256"),
    ("map 4000-4200/udp --family both", "invalid: port: 402 mappings; one command can map at most 256"),
    ("map 4010-4000/udp", "`4010-4000` ends before it begins; write 4000-4010"),
    ("map 8000-8010:80/tcp", "has a different number of ports inside and outside"),
    ("map 8080:80/tcp --external 80", "invalid: external: `8080:80/tcp` names its external port already"),
    ("map 8080:80/tcp --family ipv6", "invalid: external_port: must be the internal port 8080 with IPv6"),
    ("map 4000-4010/udp --external 65530", "invalid: external_port: 11 ports from 65530 on reach beyond 65535"),
    ("map 4000-4010/udp 4005/udp", "invalid: port: 4005/udp is given twice"),
    ("map 4000/udp --external 0", "invalid: external_port: must be between 1 and 65535"),
    (
        "map 4000/udp --external 70000",
        "'70000' for '--external <PORT>': write a port alone, a number between 1 and 65535",
    ),
    ("map 4000/udp --external 80/tcp", "write a port alone, a number between 1 and 65535"),
    ("map udp/4000", "write the port, a slash and the transport: 4000/udp"),
    ("map 4000:udp", "write the port, a slash and the transport: 4000/udp"),
    ("map 4000,5000", "for which transport? Write 4000,5000/udp"),
    ("map ./server", "write -- before a program"),
    ("map 192.168.1.5:4000/udp", "write the port without an address, such as 4000/udp"),
    ("map 4000/udp --pcp-port any", "write a port alone"),
    ("unmap udp/4000", "write the port, a slash and the transport: 4000/udp"),
    ("unmap 4000-4010/udp", "write one port and its transport, such as 4000/udp"),
    ("doctor 4000:udp", "write the port, a slash and the transport: 4000/udp"),
    ("map 4000/udp 4001/udp --external 80", "invalid: external: 1 given for 2 ports"),
    ("map 4000/udp --family ipx", "ipv4, ipv6, both"),
    ("map 4000/udp --family ipv6 --external 80", "invalid: external_port: must be the internal port 4000 with IPv6"),
    ("map 4000/udp --family both --external 80 --exact", "invalid: external_port: must be the internal port 4000"),
    ("map 4000/udp --family both --protocol nat-pmp", "invalid: protocol: nat-pmp has no IPv6; name pcp or upnp"),
    ("map 4000/udp --family ipv6 --local-address 2600::9", "2600::9 is not an address of this machine"),
    ("map 4000/udp --ttl 0", "invalid: ttl: must be between 1 and 86400 s, not 0 s"),
    ("map 4000/udp --ttl 2d", "invalid: ttl: must be between 1 and 86400 s, not 172800 s"),
    ("map 4000/udp --ttl soon", "`soon` is not a time"),
    (
        "map 4000/udp --check-interval 0.5",
        "invalid: check_interval: must be 0, which is never, or at least 1 s, not 0.5 s",
    ),
    ("map 4000/udp --check-interval often", "`often` is not a time"),
    ("map 4000/udp --no-state --state-dir /tmp", "cannot be used with"),
    ("map 4000/udp --for 0", "longer than 0"),
    ("map 4000/udp --for 1 --detach", "cannot be used with"),
    ("map 4000/udp --retry sometimes", "backoff, never"),
    ("map 4000/udp --protocol ssdp", "pcp, nat-pmp, upnp"),
    ("map 4000/udp --protocol pcp,pcp", "invalid: protocols: `pcp` is named twice"),
    ("map 4000/udp --gateway fritz.box", "gateway: `fritz.box` is not an IP address"),
    ("map 4000/udp --gateway 0.0.0.0", "invalid: gateway: 0.0.0.0 is not the address of one host"),
    ("map 4000/udp --gateway ff02::1", "invalid: gateway: ff02::1 is not the address of one host"),
    ("map 4000/udp --local-address here", "local_address: `here` is not an IP address"),
    ("map 4000/udp --gateway 127.0.0.1 --local-address 192.0.2.9", "not an address of this machine"),
    ("map 4000/udp --interface nosuch0", "invalid: interface: there is no interface `nosuch0`"),
    ("map 4000/udp --pcp-port 0", "invalid: pcp_port: must be between 1 and 65535"),
    ("map 4000/udp --ssdp-address 127.0.0.1", "write an IP address and a port, such as 239.255.255.250:1900"),
    ("map 4000/udp --ssdp-address 127.0.0.1:0", "invalid: ssdp_address: the port must be between 1 and 65535"),
    ("map 4000/udp --log-file /nosuch/map.log", "invalid: log-file: cannot open `/nosuch/map.log`: "),
    ("demo -v", "unexpected argument"),
    ("doctor --gateway router", "`router` is not an IP address"),
    ("doctor --interface nosuch0", "there is no interface `nosuch0`"),
    ("doctor --repair", "PORT[/TRANSPORT]"),
    ("doctor --repair http", "such as 4000, or a port and its transport, such as 4000/udp"),
    ("doctor --repair 0/udp", "must be between 1 and 65535, not `0`"),
    ("doctor --repair 4000 --no-map", "cannot be used with"),
    ("doctor --state-dir /tmp", "unexpected argument"),
    ("list 4000/udp", "unexpected argument"),
    ("list --family ipv5", "ipv4, ipv6, both"),
    ("list --interface nosuch0", "there is no interface `nosuch0`"),
    ("unmap", "PORT/TRANSPORT"),
    ("unmap 4000", "4000/udp"),
    ("unmap 4000/udp --family all", "ipv4, ipv6, both"),
    ("unmap --mine 4000/udp", "cannot be used with"),
    ("unmap --mine --any-host", "cannot be used with"),
    ("unmap 4000/udp --yes", "cannot be used with"),
    ("doctor --local-address 2600::9", "2600::9 is not an address of this machine"),
    ("unmap 4000/udp --pcp-port 0", "invalid: pcp_port: must be between 1 and 65535"),
    ("gateway --external-address nowhere", "must be an IPv4 address or `none`"),
    ("demo now", "unexpected argument"),
    ("run", "<PROGRAM>"),
    ("run --libraries", "a value is required for '--libraries <DIR>'"),
    ("run --nosuch echo", "unexpected argument '--nosuch'"),
    ("completions", "SHELL"),
    ("completions tcsh", "tcsh"),
];

#[test]
fn bad_usage_is_status_2_and_names_what_is_wrong() {
    let gateway = gateway();
    let long = format!("map 4000/udp --description {}", "x".repeat(65));
    for (line, part) in
        CASES.into_iter().chain([(long.as_str(), "invalid: description: must have at most 64 characters, not 65")])
    {
        // Should one of these be let through after all, it goes to the simulated gateway and nowhere else.
        let known = |flag: &str| line.contains(flag);
        let mut command = command(line);
        if line.starts_with("map") || line.starts_with("doctor") || line.starts_with("unmap") {
            let flags = flags(&gateway);
            for pair in flags.chunks(2).filter(|pair| !known(&pair[0]) && !known("--interface")) {
                command.args(pair);
            }
        }
        let ended = start(command).end();
        assert_eq!(ended.status, Some(2), "`{line}`: {ended:?}");
        // Long messages are wrapped.
        let message = ended.stderr.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(message.contains(&part.to_lowercase()), "`{line}`: {}", ended.stderr);
        assert_eq!(ended.text(), "", "`{line}`");
    }
    assert!(gateway.counters().0.is_empty(), "nothing was sent: {:?}", gateway.counters());
}

#[test]
fn an_invalid_argument_says_where_to_read_on() {
    let ended = run("map 4000/udp --gateway 127.0.0.1 --ttl 0");
    assert!(ended.stderr.contains("\n  try: `portlease help`"), "{}", ended.stderr);
}

#[test]
#[cfg(not(target_os = "linux"))]
fn run_says_that_it_works_on_linux_only() {
    let ended = run("run -- nosuchprogram --help");
    assert_eq!((ended.status, ended.text().as_str()), (Some(125), ""));
    assert!(ended.stderr.contains("portlease: run: works on Linux only: "), "{}", ended.stderr);
}
