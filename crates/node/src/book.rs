//! The address book: where servers can be dialled, and when the next try is due. Source: sections 9.5 and 10.4.

use crate::map::MAX_SERVERS;
use crate::scope::{self, Pace};
use darkchat_proto::limits::MAX_ADDRS;
use darkchat_proto::{GossipAddr, RecordFlags, ServerId, ServerRecord, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// A server that nobody has spoken of for so long is forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3_600);
/// A record whose clock is further off than this is somebody's who cannot be trusted with an address, or old.
const MAX_SKEW_MS: u64 = 3_600_000;
/// The first wait after a failure, doubled each time up to the second number, and spread by half.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same for a server that was a neighbour within [`RECENT`], and so is expected back.
const BACKOFF_RECENT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
const RECENT: Duration = Duration::from_secs(600);
/// A link that stood for so long ends the doubling: one that comes and goes does not.
const STEADY: Duration = Duration::from_secs(10);
/// How likely a server is chosen whose addresses all are good; halved for each one that was struck.
const FULL_WEIGHT: u32 = 64;

/// A place of a server, worth a dial now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) server: ServerId,
    pub(crate) addr: GossipAddr,
    pub(crate) weight: u32,
    /// Nobody has proven a key there yet and it may be a stranger's: the limits of 10.4 hold.
    is_paced: bool,
}

/// What can be dialled now.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// At most one place of each server.
    pub(crate) targets: Vec<Target>,
    /// Whether there is more, and only the time between two dials keeps it back.
    pub(crate) is_held_back: bool,
}

/// One address of a server.
#[derive(Debug)]
struct Place {
    addr: GossipAddr,
    /// Local discovery found it, so it may be in a private range.
    found: bool,
    /// A server with the expected key has answered here.
    proven: bool,
    /// Somebody else answered here; not dialled until a newer record names it.
    struck: bool,
    failures: u32,
    due: Time,
}

/// A server of which an address is known.
#[derive(Debug)]
struct Entry {
    places: Vec<Place>,
    /// (epoch, seq) of the record that the places are from.
    number: (u64, u64),
    /// It said that it can be dialled and takes neighbours.
    open: bool,
    draining: bool,
    /// When anything was heard of it last.
    heard: Time,
    /// When it was a neighbour last that we had dialled.
    up: Option<Time>,
}

/// The servers that can be dialled: those of the map, and those that fell out of it in the last day.
#[derive(Debug)]
pub(crate) struct Book {
    servers: BTreeMap<ServerId, Entry>,
    pace: Pace,
    /// Private and loopback addresses may be dialled whoever names them.
    lan: bool,
}

impl Book {
    pub(crate) fn new(lan: bool) -> Self {
        Self { servers: BTreeMap::new(), pace: Pace::default(), lan }
    }

    /// Takes the addresses of a record that is newer than all before. Whether there is somewhere new to dial.
    pub(crate) fn learn(&mut self, now: Time, wall_ms: Option<u64>, record: &ServerRecord) -> bool {
        if wall_ms.is_some_and(|wall| wall.abs_diff(record.issued_ms) > MAX_SKEW_MS) {
            return false;
        }
        let lan = self.lan;
        let permitted = record.addrs.iter().filter(|addr| scope::permits(addr, lan)).take(MAX_ADDRS);
        let is_dialable = record.flags.contains(RecordFlags::DIALABLE) && permitted.clone().next().is_some();
        if (!is_dialable && !self.servers.contains_key(&record.server)) || !self.make_room(&record.server) {
            return false;
        }
        let entry = self.servers.entry(record.server).or_insert_with(|| Entry::new(now));
        if (record.epoch, record.seq) <= entry.number {
            return false;
        }
        entry.number = (record.epoch, record.seq);
        entry.heard = now;
        entry.draining = record.flags.contains(RecordFlags::DRAINING);
        let was_open = std::mem::replace(
            &mut entry.open,
            is_dialable && !record.flags.contains(RecordFlags::PEERS_CLOSED),
        );
        let mut before = std::mem::take(&mut entry.places);
        entry.places = before.extract_if(.., |place| place.found).collect();
        let mut is_new = !was_open;
        for addr in permitted {
            let known = before.iter().position(|place| place.addr == *addr);
            let place = known.map_or_else(|| Place::new(now, *addr, false), |at| before.swap_remove(at));
            is_new |= known.is_none();
            entry.places.push(Place { struck: false, ..place });
        }
        entry.places.truncate(MAX_ADDRS);
        is_new && entry.open
    }

    /// Takes an address that local discovery found. Whether it is new.
    pub(crate) fn find(&mut self, now: Time, server: ServerId, addr: GossipAddr) -> bool {
        if !scope::permits(&addr, true) || !self.make_room(&server) {
            return false;
        }
        let entry = self.servers.entry(server).or_insert_with(|| Entry::new(now));
        (entry.open, entry.heard) = (true, now);
        if let Some(place) = entry.places.iter_mut().find(|place| place.addr == addr) {
            place.found = true;
            return std::mem::take(&mut place.struck);
        }
        entry.places.insert(0, Place::new(now, addr, true));
        entry.places.truncate(MAX_ADDRS);
        true
    }

    /// Whether there is room for this server; the one that was silent longest goes, first of those never met.
    fn make_room(&mut self, server: &ServerId) -> bool {
        if self.servers.len() < MAX_SERVERS || self.servers.contains_key(server) {
            return true;
        }
        let oldest = self.servers.iter().filter(|(_, entry)| entry.up.is_none());
        let oldest = oldest.min_by_key(|(_, entry)| entry.heard).map(|(id, _)| *id);
        oldest.is_some_and(|oldest| self.servers.remove(&oldest).is_some())
    }

    /// What can be dialled now. `healing` asks also those that were about to stop when they were heard last.
    pub(crate) fn due(&self, now: Time, healing: bool, wanted: impl Fn(&ServerId) -> bool) -> Due {
        let (may_pace, recent) = (self.pace.wait(now).is_zero(), self.pace.recent(now));
        let mut due = Due::default();
        for (server, entry) in &self.servers {
            if !entry.open || (entry.draining && !healing) || !wanted(server) {
                continue;
            }
            let struck = entry.places.iter().filter(|place| place.struck).count();
            let weight = FULL_WEIGHT >> struck.min(6);
            let usable = entry.places.iter().filter(|place| {
                if place.struck || place.due > now || (place.is_paced() && !recent.admits(&place.addr)) {
                    return false;
                }
                let is_held_back = place.is_paced() && !may_pace;
                due.is_held_back |= is_held_back;
                !is_held_back
            });
            if let Some(place) = usable.min_by_key(|place| (!place.proven, place.failures)) {
                let (server, addr, is_paced) = (*server, place.addr, place.is_paced());
                due.targets.push(Target { server, addr, weight, is_paced });
            }
        }
        due
    }

    /// A place is dialled.
    pub(crate) fn dialled(&mut self, now: Time, target: &Target) {
        if target.is_paced {
            self.pace.note(now, &target.addr);
        }
    }

    /// A dial came to nothing; `answered` if somebody was there who did not prove the key. When the next is due.
    pub(crate) fn failed(
        &mut self,
        now: Time,
        target: &Target,
        answered: bool,
        spread: impl FnOnce(Duration) -> Duration,
    ) -> Option<Time> {
        let entry = self.servers.get_mut(&target.server)?;
        let is_recent = entry.up.is_some_and(|up| now.saturating_since(up) < RECENT);
        let place = entry.places.iter_mut().find(|place| place.addr == target.addr)?;
        place.struck |= answered && !place.proven;
        let (first, most) = if is_recent { BACKOFF_RECENT } else { BACKOFF };
        let wait = first.saturating_mul(1 << place.failures.min(8)).min(most);
        place.failures = place.failures.saturating_add(1);
        place.due = now + spread(wait);
        Some(place.due)
    }

    /// The server there has no room for us now.
    pub(crate) fn refused(&mut self, now: Time, target: &Target, spread: impl FnOnce(Duration) -> Duration) {
        let Some(entry) = self.servers.get_mut(&target.server) else { return };
        let due = now + spread(BACKOFF.1);
        entry.places.iter_mut().for_each(|place| place.due = due);
    }

    /// An operator ended a link with it: it is not chosen for a while.
    pub(crate) fn leave_alone(&mut self, now: Time, server: &ServerId) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        entry.places.iter_mut().for_each(|place| place.due = place.due.max(now + RECENT));
    }

    /// A link that we dialled is up.
    pub(crate) fn linked(&mut self, now: Time, target: &Target) {
        let Some(entry) = self.servers.get_mut(&target.server) else { return };
        (entry.up, entry.heard) = (Some(now), now);
        if let Some(place) = entry.places.iter_mut().find(|place| place.addr == target.addr) {
            (place.proven, place.struck) = (true, false);
        }
    }

    /// A link that we dialled was up since then and is gone. When it is to be dialled again.
    pub(crate) fn lost(
        &mut self,
        now: Time,
        target: &Target,
        since: Time,
        spread: impl FnOnce(Duration) -> Duration,
    ) -> Option<Time> {
        let entry = self.servers.get_mut(&target.server)?;
        (entry.up, entry.heard) = (Some(now), now);
        let place = entry.places.iter_mut().find(|place| place.addr == target.addr)?;
        if now.saturating_since(since) >= STEADY {
            place.failures = 0;
        }
        self.failed(now, target, false, spread)
    }

    /// We are there ourselves: nobody else is.
    pub(crate) fn forget(&mut self, addr: &GossipAddr) {
        for entry in self.servers.values_mut() {
            entry.places.retain(|place| place.addr != *addr);
        }
    }

    /// Forgets what was not heard of for a day.
    pub(crate) fn expire(&mut self, now: Time) {
        self.servers.retain(|_, entry| now.saturating_since(entry.heard) < FORGET);
    }

    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    /// The dials for strangers that are remembered.
    pub(crate) fn paced_len(&self) -> usize {
        self.pace.len()
    }
}

impl Entry {
    const fn new(now: Time) -> Self {
        Self { places: Vec::new(), number: (0, 0), open: false, draining: false, heard: now, up: None }
    }
}

impl Place {
    const fn new(now: Time, addr: GossipAddr, found: bool) -> Self {
        Self { addr, found, proven: false, struck: false, failures: 0, due: now }
    }

    fn is_paced(&self) -> bool {
        !self.proven && !scope::is_near(self.addr.ip)
    }
}

#[cfg(test)]
mod tests;
