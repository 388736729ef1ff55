//! This machine's own firewall, as far as it can be asked without changing anything.

mod iptables;
mod nft;
mod program;
mod rules;

use portlease::Transport;

use self::program::Answer;
use self::rules::{Fate, Packet};

/// What the firewall does with a packet from the internet to one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It lets the packet in, and who says so.
    Passes(String),
    /// It drops or rejects the packet, and by which rule.
    Drops(String),
    /// It could not be asked, or what it says is not enough, and why.
    Unknown(String),
}

impl Verdict {
    /// The stable name in JSON.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Passes(_) => "passes",
            Self::Drops(_) => "drops",
            Self::Unknown(_) => "unknown",
        }
    }

    /// How that is known, or why it is not.
    pub(crate) fn evidence(&self) -> &str {
        match self {
            Self::Passes(evidence) | Self::Drops(evidence) | Self::Unknown(evidence) => evidence,
        }
    }
}

/// What the programs that manage the firewall have answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Firewall {
    nft: Answer,
    iptables: Answer,
    ufw: Answer,
    firewalld: Answer,
    /// `netsh` or `socketfilterfw`.
    other: Answer,
}

impl Firewall {
    /// Asks every program that is there, all at once and each for a bounded time.
    pub(crate) async fn ask() -> Self {
        if cfg!(windows) {
            let other = program::ask("netsh", &["advfirewall", "show", "currentprofile"]).await;
            return Self { other, ..Self::default() };
        }
        if cfg!(target_os = "macos") {
            let other = program::ask("/usr/libexec/ApplicationFirewall/socketfilterfw", &["--getglobalstate"]).await;
            return Self { other, ..Self::default() };
        }
        let (nft, iptables, ufw, firewalld) = tokio::join!(
            program::ask("nft", &["-j", "list", "ruleset"]),
            program::ask("iptables-save", &[]),
            program::ask("ufw", &["status"]),
            program::ask("firewall-cmd", &["--state"]),
        );
        Self { nft, iptables, ufw, firewalld, other: Answer::Absent }
    }

    /// What happens to a packet from the internet that comes in by `interface`.
    pub(crate) fn judge(&self, transport: Transport, port: u16, interface: Option<&str>) -> Verdict {
        if cfg!(windows) {
            return netsh(&self.other);
        }
        if cfg!(target_os = "macos") {
            return socketfilterfw(&self.other);
        }
        self.judge_rules(&Packet { transport, port, interface })
    }

    fn judge_rules(&self, packet: &Packet<'_>) -> Verdict {
        // The rules of iptables on top of nftables are in both answers, and only iptables can read all of them.
        let both = matches!(&self.iptables, Answer::Said(text) if text.contains("*filter"));
        let fates = [
            ("nft", self.nft.read(|text| nft::fate(text, packet, both))),
            ("iptables-save", self.iptables.read(|text| iptables::fate(text, packet))),
        ];
        let drop = fates.iter().find_map(|(program, fate)| match fate {
            Ok(Fate::Drop(why)) => Some(format!("{program}: {why}")),
            _ => None,
        });
        if let Some(why) = drop {
            return Verdict::Drops(why);
        }
        let unsure = fates.iter().find_map(|(program, fate)| match fate {
            Ok(Fate::Depends(why)) => Some(format!("{program}: {why}")),
            Err(Some(why)) => Some(format!("could not be asked: {why}")),
            _ => None,
        });
        let asked: Vec<&str> =
            fates.iter().filter(|(_, fate)| matches!(fate, Ok(Fate::Accept))).map(|(program, _)| *program).collect();
        match (unsure, &asked[..]) {
            (Some(why), _) => Verdict::Unknown(why),
            (None, []) => Verdict::Unknown("could not be asked: neither nft nor iptables-save is installed".to_owned()),
            (None, asked) => Verdict::Passes(format!("by the rules that {} shows", asked.join(" and "))),
        }
    }

    /// What opens a port in the firewall that is in use: a command, if that is known.
    pub(crate) fn opener(&self, transport: Transport, port: u16) -> String {
        let said = |answer: &Answer, word: &str| matches!(answer, Answer::Said(text) if text.contains(word));
        if said(&self.ufw, "Status: active") {
            format!("ufw allow {port}/{transport}")
        } else if said(&self.firewalld, "running") && !said(&self.firewalld, "not running") {
            format!("firewall-cmd --add-port={port}/{transport}")
        } else if matches!(self.nft, Answer::Said(_)) || matches!(self.iptables, Answer::Said(_)) {
            format!("a rule of nftables or iptables that accepts {transport} port {port}")
        } else {
            format!("a rule that lets {transport} packets for port {port} in")
        }
    }

    /// The programs that were asked, with what came of it, for the report.
    pub(crate) fn asked(&self) -> Vec<(&'static str, String)> {
        let other = if cfg!(windows) { "netsh" } else { "socketfilterfw" };
        let answers = [
            ("nft", &self.nft),
            ("iptables-save", &self.iptables),
            ("ufw", &self.ufw),
            ("firewall-cmd", &self.firewalld),
            (other, &self.other),
        ];
        let there = answers.into_iter().filter(|(_, answer)| **answer != Answer::Absent);
        there.map(|(program, answer)| (program, answer.short())).collect()
    }
}

/// Windows: the names of the policies are not translated, the rest is.
fn netsh(answer: &Answer) -> Verdict {
    match answer.read(str::to_owned) {
        Ok(text) if text.contains("AllowInbound") => {
            Verdict::Passes("netsh: the firewall's policy lets everything in".to_owned())
        }
        Ok(text) if text.contains("BlockInboundAlways") => {
            Verdict::Drops("netsh: the firewall's policy blocks everything".to_owned())
        }
        Ok(text) if text.contains("BlockInbound") => Verdict::Unknown(
            "netsh: if the firewall is on, it blocks what no rule allows; whether a rule allows your program was not asked".to_owned(),
        ),
        Ok(_) => Verdict::Unknown("netsh: its answer was not understood".to_owned()),
        Err(why) => Verdict::Unknown(format!("could not be asked: {}", why.as_deref().unwrap_or("no netsh"))),
    }
}

/// macOS.
fn socketfilterfw(answer: &Answer) -> Verdict {
    match answer.read(str::to_owned) {
        Ok(text) if text.contains("State = 0") => Verdict::Passes("socketfilterfw: the firewall is off".to_owned()),
        Ok(text) if text.contains("State = 2") => {
            Verdict::Drops("socketfilterfw: the firewall blocks all incoming connections".to_owned())
        }
        Ok(text) if text.contains("State = 1") => Verdict::Unknown(
            "socketfilterfw: the firewall is on and decides for each program; whether it allows yours was not asked"
                .to_owned(),
        ),
        Ok(_) => Verdict::Unknown("socketfilterfw: its answer was not understood".to_owned()),
        Err(why) => Verdict::Unknown(format!("could not be asked: {}", why.as_deref().unwrap_or("no socketfilterfw"))),
    }
}

#[cfg(test)]
#[path = "firewall/tests.rs"]
mod tests;
