//! Who may connect how often, before any cryptography: pure, bounded, and forgetful. Source: `docs/protocol.md`, 10.2.

use crate::Profile;
use darkchat_proto::{Code, Time};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Connections that one address may open at once: a household or an office behind one address fits.
const OPEN_MAX: u32 = 64;
/// Connections that one address may make in a row, before the rate counts.
const BURST: u32 = 50;
/// Time in which one more connection is earned: 10 a second.
const EARN: Duration = Duration::from_millis(100);
/// Handshakes in progress, over all addresses: each costs about 200 µs of one core and up to 64 KiB.
const HANDSHAKES_MAX: usize = 256;
/// Addresses that are remembered; one takes about 100 bytes. Most are forgotten 5 s after their last connection.
const SOURCES_MAX: usize = 16_384;

/// Who is counted as one: an IPv4 address, or the /64 that an IPv6 network gives to one household.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source(Ipv6Addr);

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.to_ipv6_mapped()),
            IpAddr::V6(ip) => Self(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        }
    }
}

/// What one source has open, and when it will have earned all of its burst again.
#[derive(Debug, Clone, Copy)]
struct Use {
    open: u32,
    /// The burst is whole at this time; each connection moves it by [`EARN`] (a token bucket as one number).
    whole_at: Time,
}

impl Use {
    fn is_forgettable(&self, now: Time) -> bool {
        self.open == 0 && self.whole_at <= now
    }
}

/// Counts connections by source and handshakes in all.
///
/// Each [`admit`](Self::admit) that says yes is answered by one [`settled`](Self::settled), when the handshake is
/// over in whatever way, and one [`left`](Self::left), when the connection is.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Whether sources are counted: not in the profiles `trusted` and `unmetered`.
    counts_sources: bool,
    sources: BTreeMap<Source, Use>,
    handshakes: usize,
}

impl Gate {
    pub(crate) const fn new(profile: Profile) -> Self {
        Self { counts_sources: counts_sources(profile), sources: BTreeMap::new(), handshakes: 0 }
    }

    /// Lets a connection in, or says why not. A refusal changes nothing.
    pub(crate) fn admit(&mut self, now: Time, source: Source) -> Result<(), Code> {
        if self.handshakes >= HANDSHAKES_MAX {
            return Err(Code::Limit);
        }
        if self.counts_sources {
            self.count(now, source)?;
        }
        self.handshakes += 1;
        Ok(())
    }

    fn count(&mut self, now: Time, source: Source) -> Result<(), Code> {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            self.sources.retain(|_, used| !used.is_forgettable(now));
            if self.sources.len() >= SOURCES_MAX {
                return Err(Code::Limit);
            }
        }
        let used = self.sources.get(&source).copied().unwrap_or(Use { open: 0, whole_at: now });
        if used.open >= OPEN_MAX {
            return Err(Code::Limit);
        }
        let whole_at = used.whole_at.max(now) + EARN;
        if whole_at > now + EARN * BURST {
            return Err(Code::RateLimited);
        }
        self.sources.insert(source, Use { open: used.open + 1, whole_at });
        Ok(())
    }

    /// The handshake of an admitted connection is over.
    pub(crate) fn settled(&mut self) {
        debug_assert!(self.handshakes > 0, "one for each admission");
        self.handshakes = self.handshakes.saturating_sub(1);
    }

    /// An admitted connection is closed.
    pub(crate) fn left(&mut self, now: Time, source: Source) {
        let Some(used) = self.sources.get_mut(&source) else { return };
        used.open = used.open.saturating_sub(1);
        if used.is_forgettable(now) {
            self.sources.remove(&source);
        }
    }

    /// Handshakes in progress.
    pub(crate) const fn handshakes(&self) -> usize {
        self.handshakes
    }
}

/// The gate's limits by name; those that are lifted do not stand here.
pub(crate) fn rows(profile: Profile) -> Vec<(&'static str, u64)> {
    let handshakes = u64::try_from(HANDSHAKES_MAX).unwrap_or(u64::MAX);
    let mut rows = vec![("handshakes", handshakes)];
    if counts_sources(profile) {
        let per_second =
            u64::try_from(Duration::from_secs(1).as_millis() / EARN.as_millis()).unwrap_or(u64::MAX);
        let of_source =
            [("open", OPEN_MAX.into()), ("accept_burst", BURST.into()), ("accept_per_s", per_second)];
        rows.extend(of_source);
    }
    rows
}

const fn counts_sources(profile: Profile) -> bool {
    !matches!(profile, Profile::Trusted | Profile::Unmetered)
}

#[cfg(test)]
mod tests;
