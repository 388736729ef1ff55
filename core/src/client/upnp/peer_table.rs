//! A table of mappings for the small router of the tests. It checks nothing, as a router without secure mode.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::UpnpMapper;
use super::peer::{Call, IP1, Ssdp, Web, fault, mapper, ok};

/// What `peer::mapper` calls its mappings, as it stands in the XML.
pub(super) const DESCRIPTION: &str = "test &lt;&amp;&gt; mapping";

/// A line of the table; the text is XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) client: String,
    pub(super) port: u16,
    pub(super) lease: u32,
    pub(super) description: String,
}

pub(super) fn line(client: &str, port: u16, lease: u32, description: &str) -> Line {
    Line { client: client.to_owned(), port, lease, description: description.to_owned() }
}

/// The lines by transport and external port.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Arc<Mutex<BTreeMap<(String, u16), Line>>>);

impl Table {
    /// Puts a line for UDP into the table.
    pub(super) fn put(&self, external_port: u16, line: Line) {
        self.0.lock().unwrap().insert(("UDP".to_owned(), external_port), line);
    }

    pub(super) fn get(&self, external_port: u16) -> Option<Line> {
        self.0.lock().unwrap().get(&("UDP".to_owned(), external_port)).cloned()
    }

    pub(super) fn remove(&self, external_port: u16) {
        self.0.lock().unwrap().remove(&("UDP".to_owned(), external_port));
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        self.0.lock().unwrap().keys().map(|(_, port)| *port).collect()
    }

    /// Does what the call says and answers it. `None`: the call is not about the table.
    pub(super) fn act(&self, call: &Call) -> Option<String> {
        let mut lines = self.0.lock().unwrap();
        let number = |name: &str| call.argument(name).parse::<u32>().unwrap_or_default();
        let external = u16::try_from(number("NewExternalPort")).unwrap();
        let key = (call.argument("NewProtocol").to_owned(), external);
        match &*call.action {
            "AddPortMapping" => {
                let description = call.argument("NewPortMappingDescription");
                let port = u16::try_from(number("NewInternalPort")).unwrap();
                let line = line(call.argument("NewInternalClient"), port, number("NewLeaseDuration"), description);
                lines.insert(key, line);
                Some(ok("AddPortMapping", &[]))
            }
            "DeletePortMapping" => Some(match lines.remove(&key) {
                Some(_) => ok("DeletePortMapping", &[]),
                None => fault(714),
            }),
            "GetSpecificPortMappingEntry" => {
                Some(lines.get(&key).map_or_else(|| fault(714), |line| shown(&call.action, &key, line)))
            }
            "GetGenericPortMappingEntry" => {
                let at = usize::try_from(number("NewPortMappingIndex")).unwrap();
                Some(lines.iter().nth(at).map_or_else(|| fault(713), |(key, line)| shown(&call.action, key, line)))
            }
            _ => None,
        }
    }
}

fn shown(action: &str, (transport, external): &(String, u16), line: &Line) -> String {
    let (external, port, lease) = (external.to_string(), line.port.to_string(), line.lease.to_string());
    let fields = [
        ("NewExternalPort", &*external),
        ("NewProtocol", transport),
        ("NewInternalPort", &port),
        ("NewInternalClient", &line.client),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", &line.description),
        ("NewLeaseDuration", &lease),
    ];
    ok(action, &fields)
}

/// A router with a table, which `rule` overrules.
pub(super) async fn router(
    rule: impl Fn(&Call, &Table) -> Option<String> + Send + Sync + 'static,
) -> (Table, Web, Ssdp, UpnpMapper) {
    let table = Table::default();
    let of_the_web = table.clone();
    let web = Web::start(&[(IP1, "/ctl")], move |call| rule(call, &of_the_web).or_else(|| of_the_web.act(call))).await;
    let ssdp = Ssdp::start(vec![web.location()]).await;
    let mapper = mapper(&ssdp);
    (table, web, ssdp, mapper)
}
