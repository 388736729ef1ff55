//! The report without what tells who and where somebody is. One thing has one mark everywhere, so that the report can be followed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portlease::AddressClass;

/// What is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Secret {
    PublicIpv4,
    Ipv6,
    Mac,
    Serial,
    /// Of this machine, and of servers that were named.
    Host,
    /// What people call their devices and their Wi-Fi.
    Name,
    /// What programs have written into the router's table.
    Description,
}

impl Secret {
    const ALL: [Self; 7] =
        [Self::PublicIpv4, Self::Ipv6, Self::Mac, Self::Serial, Self::Host, Self::Name, Self::Description];

    const fn mark(self) -> &'static str {
        match self {
            Self::PublicIpv4 => "public-ipv4",
            Self::Ipv6 => "ipv6",
            Self::Mac => "mac",
            Self::Serial => "serial",
            Self::Host => "host",
            Self::Name => "name",
            Self::Description => "description",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::PublicIpv4 => "public IPv4 addresses",
            Self::Ipv6 => "IPv6 addresses",
            Self::Mac => "MAC addresses",
            Self::Serial => "serial numbers and UUIDs",
            Self::Host => "host names",
            Self::Name => "names of devices and Wi-Fi networks",
            Self::Description => "descriptions in the router's table",
        }
    }
}

/// Masks texts, and remembers what has which mark.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    /// Words that are masked wherever they stand.
    words: Vec<(Secret, String)>,
    marks: BTreeMap<(Secret, String), usize>,
}

impl Redactor {
    /// Masks this word from now on. One that is too short to be told from other text is left.
    pub(crate) fn add(&mut self, secret: Secret, word: &str) {
        const SHORTEST: usize = 3;
        if word.chars().count() >= SHORTEST && !self.words.iter().any(|(_, known)| known == word) {
            self.words.push((secret, word.to_owned()));
            // The longest first, because one may be part of another.
            self.words.sort_by_key(|(_, word)| std::cmp::Reverse(word.len()));
        }
    }

    fn mark(&mut self, secret: Secret, value: &str) -> String {
        let next = self.marks.keys().filter(|(kind, _)| *kind == secret).count() + 1;
        let number = *self.marks.entry((secret, value.to_ascii_lowercase())).or_insert(next);
        format!("[{}-{number}]", secret.mark())
    }

    /// The text with marks in place of secrets.
    pub(crate) fn redact(&mut self, text: &str) -> String {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        while let Some(first) = rest.chars().next() {
            let begins = !before.is_some_and(|c| is_word(c) || c == '.');
            let found = if begins { self.secret_at(rest) } else { None };
            let length = match found {
                Some((secret, length)) => {
                    let mark = self.mark(secret, &rest[..length]);
                    done.push_str(&mark);
                    length
                }
                None => {
                    done.push(first);
                    first.len_utf8()
                }
            };
            before = rest[..length].chars().next_back();
            rest = &rest[length..];
        }
        done
    }

    /// The secret at the beginning of this text, and its length.
    fn secret_at(&self, text: &str) -> Option<(Secret, usize)> {
        // `1.2.3.4.5` is the number of a version.
        let ends = |length: usize| match text.as_bytes().get(length..) {
            Some([b'.', next, ..]) => !next.is_ascii_digit(),
            Some([next, ..]) => !next.is_ascii_alphanumeric(),
            _ => true,
        };
        let word = self.words.iter().find(|(_, word)| {
            // Bytes, because the beginning of the text may be in the middle of a character of that length.
            let head = text.as_bytes().get(..word.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes())) && ends(word.len())
        });
        if let Some((secret, word)) = word {
            return Some((*secret, word.len()));
        }
        let run = text.find(|c: char| !(c.is_ascii_hexdigit() || ":.-".contains(c))).unwrap_or(text.len());
        // A full stop or a port may follow: the longest beginning that is an address counts.
        (2..=run).rev().filter(|length| ends(*length)).find_map(|length| Some((kind(&text[..length])?, length)))
    }

    /// What was masked, for the top of the report.
    pub(crate) fn summary(&self) -> Vec<String> {
        let count = |secret: Secret| self.marks.keys().filter(|(kind, _)| *kind == secret).count();
        let line = |secret: Secret| format!("  {}: {}, as [{}-N]", secret.what(), count(secret), secret.mark());
        Secret::ALL.map(line).to_vec()
    }
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// What a text is, if it has to be masked.
fn kind(text: &str) -> Option<Secret> {
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    for separator in [':', '-'] {
        let parts: Vec<&str> = text.split(separator).collect();
        if parts.len() == 6 && parts.iter().all(|part| hex(part, 2)) {
            return Some(Secret::Mac);
        }
    }
    let groups: Vec<&str> = text.split('-').collect();
    if groups.len() == 5 && groups.iter().zip([8, 4, 4, 4, 12]).all(|(group, length)| hex(group, length)) {
        return Some(Secret::Serial);
    }
    match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => tells_v4(address).then_some(Secret::PublicIpv4),
        IpAddr::V6(address) => tells_v6(address).then_some(Secret::Ipv6),
    }
}

/// Private addresses and those of carrier-grade NAT are the same in many homes.
fn tells_v4(address: Ipv4Addr) -> bool {
    AddressClass::of(address.into()) == AddressClass::Public
}

/// Most link-local addresses have the MAC address in them.
fn tells_v6(address: Ipv6Addr) -> bool {
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || address == router)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        Redactor::default().redact(text)
    }

    #[test]
    fn addresses_that_tell_where_somebody_is_are_masked_and_others_are_not() {
        for (text, masked) in [
            ("sees 8.8.4.4.", "sees [public-ipv4-1]."),
            ("8.8.4.4:4000 and 8.8.4.5, 8.8.4.4", "[public-ipv4-1]:4000 and [public-ipv4-2], [public-ipv4-1]"),
            ("192.168.1.20 100.64.0.9 10.0.0.1 127.0.0.1", "192.168.1.20 100.64.0.9 10.0.0.1 127.0.0.1"),
            ("[2600:1::5]:4000 is 2600:1::5", "[[ipv6-1]]:4000 is [ipv6-1]"),
            ("fe80::1%eth0 ::1 fe80::aa:bbff:fecc:dd1e%eth0", "fe80::1%eth0 ::1 [ipv6-1]%eth0"),
            ("02:00:5E:10:00:01 02-00-5e-10-00-01", "[mac-1] [mac-2]"),
            ("uuid:12345678-1234-4321-8765-0123456789ab.", "uuid:[serial-1]."),
            ("4000/udp in 1.5 ms, miniupnpd 2.3.1, 12:30:05", "4000/udp in 1.5 ms, miniupnpd 2.3.1, 12:30:05"),
            ("version 1.2.3.4.5", "version 1.2.3.4.5"),
        ] {
            assert_eq!(redacted(text), masked, "{text}");
        }
    }

    #[test]
    fn words_are_masked_whatever_their_case_and_not_inside_of_other_words() {
        let mut redactor = Redactor::default();
        redactor.add(Secret::Host, "anna");
        redactor.add(Secret::Name, "Anna's Box");
        redactor.add(Secret::Host, "pc");
        let text = "ANNA has Anna's Box, not Annapolis, PC 客anna";
        assert_eq!(redactor.redact(text), "[host-1] has [name-1], not Annapolis, PC 客[host-1]");
        assert_eq!(redactor.redact("anna"), "[host-1]", "the same mark later");
        let summary = redactor.summary().join("\n");
        assert!(summary.contains("host names: 1") && summary.contains("public IPv4 addresses: 0"), "{summary}");
    }
}
