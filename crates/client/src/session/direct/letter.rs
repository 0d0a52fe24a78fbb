//! One content on its way to the devices of one user, until each has acknowledged it or is given up. Source:
//! `docs/protocol.md`, sections 7.5 and 7.8.

use crate::message::header_bytes;
use crate::session::{Failure, Ticket};
use darkchat_proto::{ContentId, DeviceId, DirectId, DmContent, DmKind, Time, UserId};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long an acknowledgement is waited for before the content goes again (DM_RETRY).
pub(super) const RETRY: Duration = Duration::from_secs(3);
/// How often a content goes to one device.
pub(super) const TRIES: u32 = 3;
/// How long after it first left a content is given up, whatever was tried.
const GIVE_UP: Duration = Duration::from_secs(30);
/// How long a content waits for a link, a lookup or a call before it first leaves.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for what private channels say: 255 lookups at five a second take a minute, and a link may be lost meanwhile.
const PATIENCE_CONTROL: Duration = Duration::from_secs(600);
/// How often a server may say that a device is not where its bundle says, before that is believed.
const BOUNCES: u32 = 2;

/// Who wants to know what becomes of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Sender {
    /// The user.
    User(Ticket),
    /// A private channel.
    Control,
    /// Nobody: it confirms a session, or is for our own other devices.
    Nobody,
}

/// What is known of a letter at one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// To be sent, from then on.
    Waiting(Time),
    /// Sent then, in this session.
    Sent(Time, DirectId),
    /// The device was not where its bundle said; a lookup will tell.
    Bounced,
    /// Acknowledged.
    Acked,
    /// Given up.
    Lost(Failure),
}

impl Fate {
    const fn is_open(self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Sent(..) | Self::Bounced)
    }
}

/// A letter at one device.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) fate: Fate,
    pub(super) tries: u32,
    bounces: u32,
}

impl Copy {
    const fn new(now: Time) -> Self {
        Self { fate: Fate::Waiting(now), tries: 0, bounces: 0 }
    }

    /// The device was not there.
    pub(super) const fn bounce(&mut self) {
        self.bounces += 1;
        self.fate = if self.bounces >= BOUNCES { Fate::Lost(Failure::NotHere) } else { Fate::Bounced };
    }
}

/// A content on its way.
pub(super) struct Letter {
    pub(super) to: UserId,
    /// The one device that it is for, if it is not for all.
    pub(super) only: Option<DeviceId>,
    pub(super) content: DmContent,
    pub(super) sender: Sender,
    pub(super) copies: BTreeMap<DeviceId, Copy>,
    /// How many letters went to the same user before it.
    pub(super) place: u64,
    /// Why nothing of it can be sent at all.
    pub(super) refused: Option<Failure>,
    /// When it came.
    pub(super) since: Time,
    /// When it first left.
    pub(super) left: Option<Time>,
    /// Whether a lookup has told the devices since it came.
    pub(super) looked: bool,
    /// Whether a server has handed it to a device's connection.
    pub(super) handed: bool,
    /// Whether a device has acknowledged it, and its sender knows.
    pub(super) acked: bool,
}

impl fmt::Debug for Letter {
    /// Without the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, only, content, sender, copies, place, refused, since, left, looked, handed, acked } =
            self;
        f.debug_struct("Letter")
            .field("to", to)
            .field("only", only)
            .field("id", &content.id)
            .field("kind", &content.kind)
            .field("sender", sender)
            .field("copies", copies)
            .field("place", place)
            .field("refused", refused)
            .field("since", since)
            .field("left", left)
            .field("looked", looked)
            .field("handed", handed)
            .field("acked", acked)
            .finish()
    }
}

impl Letter {
    pub(super) const fn new(now: Time, to: UserId, content: DmContent, sender: Sender) -> Self {
        Self {
            to,
            only: None,
            content,
            sender,
            copies: BTreeMap::new(),
            place: 0,
            refused: None,
            since: now,
            left: None,
            looked: false,
            handed: false,
            acked: false,
        }
    }

    /// A letter for one device, which is there already.
    pub(super) fn confirm(now: Time, to: UserId, device: DeviceId, id: ContentId, time_ms: u64) -> Self {
        let content = DmContent::new(id, time_ms, DmKind::Confirm, bytes::Bytes::new());
        let copies = BTreeMap::from([(device, Copy::new(now))]);
        Self { only: Some(device), looked: true, copies, ..Self::new(now, to, content, Sender::Nobody) }
    }

    /// What it counts for in the outbox, in bytes.
    pub(super) fn len(&self) -> usize {
        self.content.body.len() + header_bytes(&self.content.headers)
    }

    /// Whether both stand in the same outbox: the user's, that of private channels, or that of what follows from either.
    pub(super) fn has_box_of(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.sender) == std::mem::discriminant(&other.sender)
    }

    /// Makes a copy for a device that has none.
    pub(super) fn address(&mut self, now: Time, device: DeviceId) {
        if self.only.is_none_or(|only| only == device) {
            self.copies.entry(device).or_insert_with(|| Copy::new(now));
        }
    }

    /// Whether it still is to leave for a device for the first time.
    pub(super) fn is_unsent(&self) -> bool {
        !self.looked || self.copies.values().any(|copy| matches!(copy.fate, Fate::Waiting(_)))
    }

    /// The end of its time.
    fn end(&self) -> Time {
        let patience = if self.sender == Sender::Control { PATIENCE_CONTROL } else { PATIENCE };
        self.left.map_or(self.since + patience, |left| left + GIVE_UP)
    }

    /// When something is to be done for it that only time brings.
    pub(super) fn deadline(&self) -> Time {
        let fates = self.copies.values().map(|copy| match copy.fate {
            Fate::Sent(at, _) => at + RETRY,
            _ => Time::MAX,
        });
        fates.fold(self.end(), Time::min)
    }

    /// Gives up what has no time left. Gives the devices whose acknowledgement is overdue, which the letter is now to
    /// be sent to again; each with the session that it was sent in, and when.
    pub(super) fn expire(&mut self, now: Time) -> Vec<(DeviceId, DirectId, Time)> {
        let mut overdue = Vec::new();
        let over = self.end() <= now;
        for (device, copy) in &mut self.copies {
            match copy.fate {
                fate if over && fate.is_open() => copy.fate = Fate::Lost(Failure::TimedOut),
                Fate::Sent(at, _) if at + RETRY <= now && copy.tries >= TRIES => {
                    copy.fate = Fate::Lost(Failure::TimedOut);
                }
                Fate::Sent(at, session) if at + RETRY <= now => {
                    copy.fate = Fate::Waiting(now);
                    overdue.push((*device, session, at));
                }
                _ => {}
            }
        }
        if over && !self.looked {
            // Nobody told in time where the devices are: the user may be there all the same.
            self.looked = true;
            if self.copies.is_empty() {
                self.refused = Some(Failure::TimedOut);
            }
        }
        overdue
    }

    /// What became of it, once nothing more will. Of several failures the one that says most about the user wins.
    pub(super) fn outcome(&self) -> Option<Result<(), Failure>> {
        if let Some(why) = self.refused {
            return Some(Err(why));
        }
        if !self.looked || self.copies.values().any(|copy| copy.fate.is_open()) {
            return None;
        }
        if self.copies.values().any(|copy| copy.fate == Fate::Acked) {
            return Some(Ok(()));
        }
        let lost = |copy: &Copy| match copy.fate {
            Fate::Lost(why) => Some(why),
            _ => None,
        };
        let mut lost = self.copies.values().filter_map(lost);
        // A device that did not answer may have it all the same: that is all that can be said then.
        if lost.clone().any(|why| why == Failure::TimedOut) {
            return Some(Err(Failure::TimedOut));
        }
        Some(Err(lost.next().unwrap_or(Failure::NotHere)))
    }
}
