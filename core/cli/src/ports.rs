//! The ports of `map` on the command line: `4000/udp`, `8080:80/tcp`, `4000-4010/udp`, and lists with commas.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use portlease::Transport;

use crate::args::instead_of;

/// How many mappings one command may ask for. The tables of home routers are small, and each mapping is renewed for itself.
pub(crate) const MOST: usize = 256;

const FORMS: &str = "write PORT/TRANSPORT, for example 4000/udp, 8080/tcp or 4000/both; a range is 4000-4010/udp, \
    8080:80/tcp is port 8080 inside and port 80 outside, and commas separate several";

/// One entry of the list: a port, or ports in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As it was written.
    pub(crate) text: String,
    inside: RangeInclusive<u16>,
    /// The first port outside, if the user has named one.
    outside: Option<u16>,
    /// `None`: both.
    transport: Option<Transport>,
}

/// A port inside, and the one outside if the user has named it.
pub(crate) type Pair = (u16, Option<u16>);

impl Entry {
    pub(crate) fn transports(&self) -> Vec<Transport> {
        self.transport.map_or_else(|| Transport::ALL.to_vec(), |transport| vec![transport])
    }

    /// How many mappings of one family it stands for.
    pub(crate) fn count(&self) -> usize {
        self.inside.len() * if self.transport.is_some() { 1 } else { Transport::ALL.len() }
    }

    pub(crate) fn names_outside(&self) -> bool {
        self.outside.is_some()
    }

    /// Each port. `outside` is the first port outside that an option has named. Fails with what is wrong if there are not
    /// so many ports from there on.
    pub(crate) fn pairs(&self, outside: Option<u16>) -> Result<Vec<Pair>, String> {
        let first = self.outside.or(outside);
        let inside = self.inside.clone();
        if let Some(first) = first
            && usize::from(first) + inside.len() - 1 > usize::from(u16::MAX)
        {
            return Err(format!("{} ports from {first} on reach beyond 65535", inside.len()));
        }
        Ok(inside.map(|port| (port, first.map(|first| first + (port - self.inside.start())))).collect())
    }
}

/// Reads a list. A port without its transport has that of the next port that has one, as in `80,443/tcp`.
pub(crate) fn list(text: &str) -> Result<Vec<Entry>, String> {
    if let Some(instead) = instead_of(text).or_else(|| elsewhere(text)) {
        return Err(instead);
    }
    let mut transport = None;
    let mut entries = Vec::new();
    for item in text.split(',').rev() {
        let ports = match item.split_once('/') {
            Some((ports, name)) => {
                transport = Some(transport_of(name)?);
                ports
            }
            None => item,
        };
        if ports.is_empty() {
            return Err(FORMS.to_owned());
        }
        let (inside, outside) = match ports.split_once(':') {
            Some((inside, outside)) => (range(inside)?, Some(range(outside)?)),
            None => (range(ports)?, None),
        };
        if outside.as_ref().is_some_and(|outside| outside.len() != inside.len()) {
            return Err(format!(
                "`{ports}` has a different number of ports inside and outside; write for example 8000-8010:9000-9010"
            ));
        }
        let Some(transport) = transport else {
            // One transport at the end holds for all.
            let ports = if text.contains('/') { item } else { text };
            return Err(format!("for which transport? Write {ports}/udp, {ports}/tcp or {ports}/both"));
        };
        let outside = outside.map(|outside| *outside.start());
        entries.push(Entry { text: item.to_owned(), inside, outside, transport });
    }
    entries.reverse();
    Ok(entries)
}

/// What to write instead of a program, or of a port with an address.
fn elsewhere(text: &str) -> Option<String> {
    if text.starts_with(['.', '/']) && text.len() > 1 && !text.ends_with("/udp") && !text.ends_with("/tcp") {
        return Some(format!("write -- before a program: portlease map 4000/udp -- {text}"));
    }
    let (address, port) = text.rsplit_once(':')?;
    address.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
    Some(format!("write the port without an address, such as {port}; only ports of this machine can be mapped"))
}

fn transport_of(name: &str) -> Result<Option<Transport>, String> {
    match name.to_ascii_lowercase().as_str() {
        "both" => Ok(None),
        name => name.parse().map(Some).map_err(|error| format!("{error}, both")),
    }
}

/// `4000`, or `4000-4010`.
fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = match text.split_once('-') {
        // A minus sign in front is no range.
        Some((first, last)) if !first.is_empty() => (port(first)?, port(last)?),
        _ => (port(text)?, port(text)?),
    };
    let count = usize::from(last.saturating_sub(first)) + 1;
    match first <= last {
        true if count <= MOST => Ok(first..=last),
        true => Err(format!("`{text}` is {count} ports; one command can map at most {MOST}")),
        false => Err(format!("`{text}` ends before it begins; write {last}-{first}")),
    }
}

fn port(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return Err(FORMS.to_owned());
    }
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| format!("the port must be between 1 and 65535, not `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `INSIDE>OUTSIDE/TRANSPORT` of each mapping.
    fn read(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for entry in list(text).unwrap() {
            for transport in entry.transports() {
                for (inside, outside) in entry.pairs(None).unwrap() {
                    all.push(format!(
                        "{inside}>{}/{transport}",
                        outside.map_or("-".to_owned(), |port| port.to_string())
                    ));
                }
            }
        }
        all
    }

    #[test]
    fn a_port_is_read_with_its_transport_and_perhaps_its_port_outside() {
        assert_eq!(read("4000/udp"), ["4000>-/udp"]);
        assert_eq!(read("4000/TCP"), ["4000>-/tcp"]);
        assert_eq!(read("4000/both"), ["4000>-/udp", "4000>-/tcp"]);
        assert_eq!(read("8080:80/tcp"), ["8080>80/tcp"]);
    }

    #[test]
    fn a_range_is_each_of_its_ports() {
        assert_eq!(read("4000-4002/udp"), ["4000>-/udp", "4001>-/udp", "4002>-/udp"]);
        assert_eq!(read("8000-8001:9000-9001/tcp"), ["8000>9000/tcp", "8001>9001/tcp"]);
        assert_eq!(read("65535-65535/udp"), ["65535>-/udp"]);
        assert_eq!(list("4000-4255/udp").unwrap()[0].count(), MOST);
        assert_eq!(list("4000-4010/both").unwrap()[0].count(), 22);
    }

    #[test]
    fn commas_separate_ports_and_a_transport_holds_for_those_before_it() {
        assert_eq!(read("4000/udp,8080:80/tcp"), ["4000>-/udp", "8080>80/tcp"]);
        assert_eq!(read("80,443/tcp"), ["80>-/tcp", "443>-/tcp"]);
        assert_eq!(read("80,443/tcp,53/udp"), ["80>-/tcp", "443>-/tcp", "53>-/udp"]);
    }

    #[test]
    fn an_option_names_the_first_port_outside() {
        let range = &list("4000-4001/udp").unwrap()[0];
        assert_eq!(range.pairs(Some(5000)), Ok(vec![(4000, Some(5000)), (4001, Some(5001))]));
        assert_eq!(range.pairs(Some(65534)), Ok(vec![(4000, Some(65534)), (4001, Some(65535))]));
        assert_eq!(range.pairs(Some(65535)), Err("2 ports from 65535 on reach beyond 65535".to_owned()));
    }

    #[test]
    fn a_bad_port_is_refused_by_a_message_that_says_what_is_allowed() {
        for (text, part) in [
            ("4000", "write 4000/udp, 4000/tcp or 4000/both"),
            ("80/tcp,443", "Write 443/udp"),
            ("4000,5000", "Write 4000,5000/udp, 4000,5000/tcp"),
            ("udp/4000", "write the port, a slash and the transport: 4000/udp"),
            ("4000:tcp", "write the port, a slash and the transport: 4000/tcp"),
            ("./server", "write -- before a program: portlease map 4000/udp -- ./server"),
            ("192.168.1.5:4000/udp", "write the port without an address, such as 4000/udp"),
            ("[2600::1]:4000/udp", "write the port without an address, such as 4000/udp"),
            ("http", "for example 4000/udp"),
            ("http/tcp", "for example 4000/udp"),
            ("", "for example 4000/udp"),
            ("/udp", "for example 4000/udp"),
            ("4000/udp,", "for example 4000/udp"),
            ("0/udp", "must be between 1 and 65535, not `0`"),
            ("65536/udp", "not `65536`"),
            ("-1/udp", "not `-1`"),
            ("4000-/udp", "a range is 4000-4010/udp"),
            ("4010-4000/udp", "`4010-4000` ends before it begins; write 4000-4010"),
            ("1-60000/udp", "`1-60000` is 60000 ports; one command can map at most 256"),
            ("4000-4010-4020/udp", "a range is"),
            ("8080:/tcp", "8080:80/tcp is port 8080 inside and port 80 outside"),
            (":80/tcp", "8080:80/tcp is port 8080 inside"),
            ("8080:80:90/tcp", "8080:80/tcp is port 8080 inside"),
            ("8080:0/tcp", "not `0`"),
            ("8000-8010:80/tcp", "`8000-8010:80` has a different number of ports inside and outside"),
            ("4000/sctp", "`sctp` is not one of udp, tcp, both"),
            ("4000/", "is not one of udp, tcp, both"),
        ] {
            let error = list(text).unwrap_err();
            assert!(error.to_lowercase().contains(&part.to_lowercase()), "{text}: {error}");
        }
    }
}
