//! What a program hears of its mappings and of each exchange with the router, through the reader for hosts without `tracing`.
//! Every test waits for the others: what one does, all readers of the process hear.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::Ipv4Addr;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use common::{LONG, config_for, gateway, gateway_with};
use portlease::log::{LogLevel, LogReader};
use portlease::{Config, MapRequest, Mapper, Protocol, Release, RetryPolicy, Transport};
use portlease_gateway::{Faults, Mode};
use tokio::sync::{Mutex, MutexGuard};
use tracing::level_filters::LevelFilter;

async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// Level and message of every record so far.
fn told(reader: &LogReader) -> Vec<(LogLevel, String)> {
    let records = std::iter::from_fn(|| reader.next(Duration::ZERO).ok());
    records.map(|record| (record.level, record.message)).collect()
}

async fn map_and_release(config: Config) -> Vec<(LogLevel, String)> {
    let reader = LogReader::new(LogLevel::Debug);
    let mapper = Mapper::start(config).unwrap();
    let lease = mapper.map(MapRequest::new(4000, Transport::Udp)).unwrap();
    lease.ready(LONG).await.unwrap();
    assert_eq!(lease.stop(None).await, Release::Released);
    mapper.stop(None).await;
    told(&reader)
}

#[track_caller]
fn assert_has(lines: &[(LogLevel, String)], level: LogLevel, parts: &[&str]) {
    let fits = |line: &str| parts.iter().all(|part| line.contains(part));
    assert!(lines.iter().any(|(at, line)| *at == level && fits(line)), "no {level} {parts:?} in {lines:#?}");
}

#[tokio::test]
async fn info_is_what_happened_to_the_mapping_and_debug_each_exchange_with_the_router() {
    let _alone = alone().await;
    for protocol in [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp] {
        let gateway = gateway_with(|config| config.friendly_name = "Box\u{1b}[2J\u{202e}".to_owned());
        let address = Ipv4Addr::new(192, 0, 1, 1);
        gateway.set_external_address(Some(address));
        let lines = map_and_release(config_for(&gateway, protocol)).await;
        let important: Vec<_> = lines.iter().filter(|(level, _)| *level <= LogLevel::Info).collect();
        let [(LogLevel::Info, installed), (LogLevel::Info, released)] = important[..] else { panic!("{important:#?}") };
        let installed = installed.split(" (").next().unwrap();
        assert_eq!(installed, format!("4000/udp installed: {address}:4000 by {protocol} for 3600 s"));
        assert_eq!(*released, format!("4000/udp released: {address}:4000 by {protocol}"));
        let udp = format!("{protocol} 127.0.0.1:{}: ", gateway.pcp_port());
        let exchanges: Vec<Vec<String>> = match protocol {
            Protocol::Pcp => vec![
                vec![udp.clone() + "MAP udp 4000 -> 4000 for 3600 s: SUCCESS, ", format!("{address}:4000 for 3600 s")],
                vec![udp + "MAP udp 4000, delete: SUCCESS, no mapping"],
            ],
            Protocol::NatPmp => vec![
                vec![udp.clone() + "external address: SUCCESS, " + &address.to_string()],
                vec![udp.clone() + "map udp 4000 -> 4000 for 3600 s: SUCCESS, port 4000 for 3600 s"],
                vec![udp + "map udp 4000, delete: SUCCESS, no mapping"],
            ],
            Protocol::Upnp => vec![
                vec!["upnp ssdp: M-SEARCH sent to [127.0.0.1:".to_owned()],
                vec!["upnp ssdp: 127.0.0.1 answers: ".to_owned(), " at http://127.0.0.1:".to_owned()],
                vec!["upnp 127.0.0.1:".to_owned(), ": GET /".to_owned(), ": 200, ".to_owned()],
                vec!["device `Box".to_owned(), "maps ports by urn:".to_owned()],
                vec![format!(": GetExternalIPAddress: done ExternalIPAddress={address}")],
                vec![
                    ": AddPortMapping ".to_owned(),
                    "ExternalPort=4000 Protocol=UDP InternalPort=4000 InternalClient=127.0.0.1 Enabled=1".to_owned(),
                    "LeaseDuration=3600: done".to_owned(),
                ],
                vec![": DeletePortMapping ExternalPort=4000 Protocol=UDP: done".to_owned()],
            ],
            other => panic!("{other}"),
        };
        for parts in exchanges {
            let parts: Vec<_> = parts.iter().map(String::as_str).chain([" ms)"]).collect();
            let parts = if parts[0].starts_with("device") { &parts[..2] } else { &parts };
            assert_has(&lines, LogLevel::Debug, parts);
        }
        let steers = |line: &String| line.contains(|c: char| c.is_control() || c == '\u{202e}');
        assert!(!lines.iter().any(|(_, line)| steers(line)), "{lines:#?}");
        assert!(!lines.iter().any(|(_, line)| line.to_lowercase().contains("nonce")), "{lines:#?}");
    }
}

#[tokio::test]
async fn a_refusal_and_silence_are_told_with_the_result_and_the_failure_is_one_warning() {
    let _alone = alone().await;
    let none = Faults::default;
    for (protocol, faults, exchange) in [
        (Protocol::Pcp, Faults { pcp: Mode::Refuse(2), ..none() }, ": NOT_AUTHORIZED"),
        (Protocol::NatPmp, Faults { nat_pmp: Mode::Refuse(4), ..none() }, ": OUT_OF_RESOURCES"),
        (Protocol::Upnp, Faults { upnp: Mode::Refuse(606), ..none() }, "606 ActionNotAuthorized"),
        (Protocol::Pcp, Faults { pcp: Mode::Silent, ..none() }, ": no answer"),
    ] {
        let gateway = gateway_with(|config| config.faults = faults);
        let reader = LogReader::new(LogLevel::Debug);
        let mapper = Mapper::start(config_for(&gateway, protocol).retry(RetryPolicy::Never)).unwrap();
        mapper.map(MapRequest::new(4000, Transport::Tcp)).unwrap().ready(LONG).await.unwrap_err();
        mapper.stop(None).await;
        let lines = told(&reader);
        assert_has(&lines, LogLevel::Debug, &[protocol.as_str(), exchange, " ms)"]);
        let warnings: Vec<_> = lines.iter().filter(|(level, _)| *level <= LogLevel::Warn).collect();
        let [(LogLevel::Warn, warning)] = warnings[..] else { panic!("{warnings:#?}") };
        assert!(warning.starts_with("4000/tcp could not be mapped: "), "{warning}");
    }
}

#[tokio::test]
async fn readers_may_come_and_go_on_any_thread_and_without_them_nothing_is_told() {
    let _alone = alone().await;
    drop(LogReader::new(LogLevel::Trace));
    assert_eq!(LevelFilter::current(), LevelFilter::OFF);
    let lasting = StdMutex::new(Vec::new());
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let lasting = &lasting;
            scope.spawn(move || {
                for _ in 0..200 {
                    drop(LogReader::new(if turn % 2 == 0 { LogLevel::Error } else { LogLevel::Trace }));
                }
                lasting.lock().unwrap().push(LogReader::new(if turn == 0 { LogLevel::Debug } else { LogLevel::Info }));
            });
        }
    });
    assert_eq!(LevelFilter::current(), LevelFilter::DEBUG, "the deepest decides");
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    mapper.map(MapRequest::new(4000, Transport::Udp)).unwrap().ready(LONG).await.unwrap();
    mapper.stop(None).await;
    for reader in lasting.into_inner().unwrap() {
        let lines = told(&reader);
        assert_has(&lines, LogLevel::Info, &["4000/udp released"]);
        let debugs = lines.iter().any(|(level, _)| *level == LogLevel::Debug);
        assert_eq!(debugs, format!("{reader:?}").contains("Debug"), "{reader:?}");
    }
    assert_eq!(LevelFilter::current(), LevelFilter::OFF);
}
