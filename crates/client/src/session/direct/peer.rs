//! One user: which devices it has, as far as is known, and what of it came before.

use super::device::Device;
use super::seen::Seen;
use darkchat_proto::{ContentId, DeviceId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How old the answer to a lookup may be when something is sent: a server gives the same answer for as long.
const FRESH: Duration = Duration::from_secs(5);
/// Devices that are remembered, so that a new one is noticed. More are new each time.
const MET: usize = 64;
/// Devices that something is kept of: those of a lookup, and as many that are gone.
const DEVICES: usize = 16;

/// Where a lookup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Lookup {
    #[default]
    Never,
    /// To be asked, from then on.
    Wanted(Time),
    Asked,
    Answered(Time),
}

/// A user.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) seen: Seen<ContentId>,
    lookup: Lookup,
    met: BTreeSet<DeviceId>,
    /// When something of it happened last.
    pub(super) used: Time,
    /// How many letters went to it.
    pub(super) letters: u64,
}

impl Peer {
    /// Whether the devices that are known are those that a lookup would tell now.
    pub(super) fn is_fresh(&self, now: Time) -> bool {
        matches!(self.lookup, Lookup::Answered(at) if at + FRESH > now)
    }

    /// Whether a lookup is under way or waits to be asked.
    pub(super) const fn is_looked_up(&self) -> bool {
        matches!(self.lookup, Lookup::Asked | Lookup::Wanted(_))
    }

    /// A lookup is wanted. Says whether it is to be asked, and no question is open already.
    pub(super) const fn want_lookup(&mut self, from: Time) -> bool {
        if self.is_looked_up() {
            return false;
        }
        self.lookup = Lookup::Wanted(from);
        true
    }

    /// The lookup that is wanted may be asked only then.
    pub(super) const fn wait_with_lookup(&mut self, from: Time) {
        self.lookup = Lookup::Wanted(from);
    }

    /// From when the lookup may be asked.
    pub(super) const fn lookup_from(&self) -> Option<Time> {
        match self.lookup {
            Lookup::Wanted(from) => Some(from),
            _ => None,
        }
    }

    pub(super) const fn lookup_asked(&mut self) {
        self.lookup = Lookup::Asked;
    }

    pub(super) const fn lookup_answered(&mut self, now: Time) {
        self.lookup = Lookup::Answered(now);
    }

    /// No answer will come. Says whether one was waited for, and is to be asked for again because somebody still wants
    /// it; if not, whoever wants it next asks anew.
    pub(super) fn lookup_lost(&mut self, is_wanted: bool) -> bool {
        let was_asked = self.lookup == Lookup::Asked;
        if was_asked {
            self.lookup = if is_wanted { Lookup::Wanted(Time::ZERO) } else { Lookup::Never };
        }
        was_asked && is_wanted
    }

    /// The devices that something is sent to.
    pub(super) fn targets(&self, now: Time) -> impl Iterator<Item = DeviceId> {
        self.devices.iter().filter(move |(_, device)| device.is_present(now)).map(|(id, _)| *id)
    }

    /// Whether something is sent to this device.
    pub(super) fn is_target(&self, now: Time, device: &DeviceId) -> bool {
        self.devices.get(device).is_some_and(|device| device.is_present(now))
    }

    /// A session with this device stands. Says whether the device is a new one of a key that we knew.
    pub(super) fn meet(&mut self, device: DeviceId) -> bool {
        let is_new = !self.met.is_empty() && !self.met.contains(&device);
        if self.met.len() < MET {
            self.met.insert(device);
        }
        is_new
    }

    /// Makes room for another device: those that are gone give way.
    pub(super) fn bound(&mut self) {
        while self.devices.len() > DEVICES {
            let gone = self.devices.iter().filter(|(_, device)| !device.is_listed);
            let Some(oldest) = gone.min_by_key(|(_, device)| device.heard).map(|(id, _)| *id) else { return };
            self.devices.remove(&oldest);
        }
    }

    /// Whether nothing is under way with any of its devices.
    pub(super) fn is_idle(&self) -> bool {
        self.devices.values().all(Device::is_idle)
    }
}
