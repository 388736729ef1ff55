//! What the announcements of one device say about its mappings.

use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::device::Device;
use super::notify::{Kind, Notification};
use crate::schedule::{SSDP_BURST, SSDP_MAX_AGE};

/// The places of its description that a device announces side by side, for instance by its addresses.
const MAX_LOCATIONS: usize = 4;

/// How a device has announced itself so far.
#[derive(Debug, Default)]
pub(super) struct Presence {
    boot_id: Option<u32>,
    /// The newest last.
    locations: Vec<Url>,
    /// It has said goodbye, and nothing since.
    gone: bool,
    /// When it last said that it was there.
    heard: Option<Instant>,
    /// The longest pause between two of its announcements.
    usual_pause: Option<Duration>,
    /// When its mappings were last put in doubt.
    doubted: Option<Instant>,
    /// When the search ended from which the device is known.
    found: Option<Instant>,
}

/// Why the mappings of a device may be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It has another BOOTID.
    Rebooted,
    /// It is back after a goodbye.
    Back,
    /// Its description is elsewhere.
    Moved,
    /// It has no BOOTID, and is back after a long silence.
    Silent,
}

impl Presence {
    /// A search, or a look at its description, has found the device. `Some`: not as it was known.
    pub(super) fn found(&mut self, device: &Device) -> Option<Doubt> {
        if self.found.replace(device.found) == Some(device.found) {
            return None;
        }
        let doubt = self.compare(device.boot_id, &device.description_url);
        self.boot_id = device.boot_id.or(self.boot_id);
        self.conclude(doubt, &device.description_url, device.found)
    }

    /// Takes an announcement of this device. `Some`: its mappings may be gone.
    pub(super) fn hear(&mut self, said: &Notification, now: Instant) -> Option<Doubt> {
        let Some(location) = &said.location else {
            self.gone = true;
            return None;
        };
        let compared = self.compare(said.boot_id, location);
        let follows = said.next_boot_id.filter(|_| said.kind == Kind::Update);
        self.boot_id = follows.or(said.boot_id).or(self.boot_id);
        let back = std::mem::take(&mut self.gone) && !self.in_burst(now);
        let silent = self.was_silent(said, now);
        let doubt = compared.or(back.then_some(Doubt::Back)).or(silent.then_some(Doubt::Silent));
        self.conclude(doubt, location, now)
    }

    /// What is first seen is learned, and no reason to doubt.
    fn compare(&self, boot_id: Option<u32>, location: &Url) -> Option<Doubt> {
        if self.boot_id.zip(boot_id).is_some_and(|(known, told)| known != told) {
            return Some(Doubt::Rebooted);
        }
        let moved = !self.locations.is_empty() && !self.locations.contains(location);
        moved.then_some(Doubt::Moved)
    }

    fn conclude(&mut self, doubt: Option<Doubt>, location: &Url, now: Instant) -> Option<Doubt> {
        match doubt {
            // What it announced before is over.
            Some(Doubt::Rebooted | Doubt::Back | Doubt::Silent) => self.locations.clear(),
            Some(Doubt::Moved) | None => {}
        }
        self.add_location(location);
        self.doubted = doubt.map(|_| now).or(self.doubted);
        doubt
    }

    /// Announcements are repeated, goodbyes before a start included (UDA 1.1 1.2.2): those of one restart are one doubt.
    fn in_burst(&self, now: Instant) -> bool {
        self.doubted.is_some_and(|doubted| now.saturating_duration_since(doubted) < SSDP_BURST)
    }

    /// Whether a device without BOOTID was silent for so long that it must have been away: longer than its announcement
    /// holds, and than its usual pause if one is lost.
    fn was_silent(&mut self, said: &Notification, now: Instant) -> bool {
        let before = self.heard.replace(now);
        let pause = before.map(|before| now.saturating_duration_since(before)).filter(|pause| *pause >= SSDP_BURST);
        let Some(pause) = pause else { return false };
        let usual = self.usual_pause;
        self.usual_pause = Some(usual.map_or(pause, |usual| usual.max(pause)));
        let holds = said.max_age.unwrap_or(SSDP_MAX_AGE);
        let long = |usual: Duration| pause > holds.max(usual.saturating_mul(2).saturating_add(SSDP_BURST));
        self.boot_id.is_none() && usual.is_some_and(long)
    }

    fn add_location(&mut self, location: &Url) {
        self.locations.retain(|known| known != location);
        if self.locations.len() >= MAX_LOCATIONS {
            self.locations.remove(0);
        }
        self.locations.push(location.clone());
    }
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
