use super::*;
use std::time::Duration;

use crate::client::upnp::peer::{fault, ok};
use crate::client::upnp::peer_table::{line, router};
use crate::mapping::Transport;

/// An entry of this host, as a program here has read it from the table.
fn entry() -> TableEntry {
    let mut entry = TableEntry::new(Transport::Udp, 4100, "127.0.0.1", 4000);
    entry.description = "my <game> & more".to_owned();
    entry.lifetime = Some(Duration::from_secs(600));
    entry
}

const ESCAPED: &str = "my &lt;game&gt; &amp; more";

#[tokio::test]
async fn an_entry_is_deleted_and_added_with_the_same_ports_description_and_end() {
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    table.put(4100, line("127.0.0.1", 4000, 600, ESCAPED));
    assert_eq!(mapper.repair(&entry()).await.unwrap(), entry());
    assert_eq!(web.changes(), ["DeletePortMapping 4100", "AddPortMapping 4100 600"]);
    assert_eq!(table.get(4100), Some(line("127.0.0.1", 4000, 600, ESCAPED)));
}

#[tokio::test]
async fn an_entry_that_leads_elsewhere_by_now_is_not_touched() {
    for other in [line("192.168.1.99", 4000, 0, "nas"), line("127.0.0.1", 4001, 0, "other")] {
        let (table, web, _ssdp, mapper) = router(|_, _| None).await;
        table.put(4100, other.clone());
        let error = mapper.repair(&entry()).await.unwrap_err();
        assert!(!error.mapping_lost() && error.message().contains("leads to"), "{error}");
        assert!(web.changes().is_empty(), "{:?}", web.changes());
        assert_eq!(table.get(4100), Some(other));
    }
}

#[tokio::test]
async fn a_port_that_another_host_takes_after_the_delete_is_left_to_it() {
    let other = line("192.168.1.99", 4000, 0, "nas");
    let taken = other.clone();
    let (table, web, _ssdp, mapper) = router(move |call, table| {
        (call.action == "DeletePortMapping").then(|| {
            table.put(4100, taken.clone());
            ok("DeletePortMapping", &[])
        })
    })
    .await;
    table.put(4100, line("127.0.0.1", 4000, 600, ESCAPED));
    let error = mapper.repair(&entry()).await.unwrap_err();
    assert!(error.mapping_lost() && error.message().contains("192.168.1.99"), "{error}");
    assert_eq!(web.changes(), ["DeletePortMapping 4100"]);
    assert_eq!(table.get(4100), Some(other));
}

#[tokio::test]
async fn what_its_program_has_put_back_meanwhile_is_no_obstacle() {
    let (table, _web, _ssdp, mapper) = router(|call, table| {
        (call.action == "DeletePortMapping").then(|| {
            table.put(4100, line("127.0.0.1", 4000, 3600, ESCAPED));
            ok("DeletePortMapping", &[])
        })
    })
    .await;
    table.put(4100, line("127.0.0.1", 4000, 600, ESCAPED));
    assert_eq!(mapper.repair(&entry()).await.unwrap(), entry());
}

#[tokio::test]
async fn a_router_that_shows_no_single_entry_is_believed() {
    let (table, web, _ssdp, mapper) =
        router(|call, _| (call.action == "GetSpecificPortMappingEntry").then(|| fault(401))).await;
    table.put(4100, line("127.0.0.1", 4000, 600, ESCAPED));
    assert_eq!(mapper.repair(&entry()).await.unwrap(), entry());
    assert_eq!(web.changes(), ["DeletePortMapping 4100", "AddPortMapping 4100 600"]);
}

#[tokio::test]
async fn what_is_switched_off_or_for_one_remote_host_is_not_opened_to_everybody() {
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    table.put(4100, line("127.0.0.1", 4000, 600, ESCAPED));
    let mut off = entry();
    off.enabled = false;
    let mut limited = entry();
    limited.remote_host = "192.0.1.7".to_owned();
    for (entry, why) in [(off, "is switched off"), (limited, "is open to one remote host alone")] {
        let error = mapper.repair(&entry).await.unwrap_err();
        assert!(!error.mapping_lost() && error.message().contains(why), "{error}");
    }
    assert!(web.changes().is_empty(), "{:?}", web.changes());
}
