//! Where a user's devices are: what clients say of themselves, and which of it is told. Source: `docs/protocol.md`, 5.2, 7.2.

use crate::session::Inbox;
use crate::{LinkId, Node};
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_crypto::bundle::{self, CLOCK_MS, Expected, MAX_DEVICES};
use darkchat_proto::limits::MAX_BUNDLE;
use darkchat_proto::{Bundle, Code, DeviceId, Done, Kind, Tag, UserId};
use std::cmp::Reverse;

/// A device's bundle on its way to whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) device: DeviceId,
    /// From when it is valid, in Unix milliseconds: the newer of two counts.
    pub(crate) since_ms: u64,
    /// The encoded `Signed`.
    pub(crate) signed: Bytes,
}

impl Found {
    pub(crate) const fn new(bundle: &Bundle, signed: Bytes) -> Self {
        Self { device: bundle.device, since_ms: bundle.not_before_ms, signed }
    }
}

/// One a device, the newest first, and no more of them than are written to.
pub(crate) fn newest(mut all: Vec<Found>) -> Vec<Found> {
    all.sort_by_key(|found| Reverse(found.since_ms));
    let mut chosen: Vec<Found> = Vec::new();
    for found in all {
        if chosen.len() < MAX_DEVICES && chosen.iter().all(|other| other.device != found.device) {
            chosen.push(found);
        }
    }
    chosen
}

impl Node {
    /// A client says where its device is. The signature is good.
    pub(crate) fn set_bundle(&mut self, link: LinkId, req: u32, bundle: Verified<Bundle>, signed: Bytes) {
        let is_own = self.sessions.get(link).is_some_and(|session| session.user == bundle.user);
        match self.keep_bundle(link, bundle, signed) {
            Ok(()) => self.reply(link, req, Kind::Ok(Done::default())),
            Err(code) => {
                self.refuse(link, req, code, 0);
                // Who speaks for another user is not spoken with, as for posts; whatever else is wrong is only refused.
                if !is_own || code == Code::TooLarge {
                    self.close(link, code);
                }
            }
        }
    }

    fn keep_bundle(&mut self, link: LinkId, bundle: Verified<Bundle>, signed: Bytes) -> Result<(), Code> {
        if signed.len() > MAX_BUNDLE {
            return Err(Code::TooLarge);
        }
        let now_ms = self.cx.wall_ms().ok_or(Code::Stale)?;
        let session = self.sessions.get_mut(link).ok_or(Code::Internal)?;
        let expected =
            Expected { user: session.user, device: Some(session.device), server: Some(self.identity) };
        bundle::check(&bundle, &expected, now_ms).map_err(|error| error.code())?;
        let tag = Tag::of_inbox(&self.config.network, &session.user);
        if session.inbox.is_none() && !self.interest.want(self.cx.now, tag) {
            return Err(Code::Limit);
        }
        session.inbox = Some(Box::new(Inbox { bundle: bundle.into_inner(), signed }));
        Ok(())
    }

    /// Nobody is told any more where a session's device is.
    pub(crate) fn unset_bundle(&mut self, user: UserId) {
        self.interest.unwant(self.cx.now, Tag::of_inbox(&self.config.network, &user));
    }

    /// The bundles of a user's devices here that are valid, the newest first.
    pub(crate) fn bundles_here(&self, user: UserId) -> Vec<Found> {
        let now_ms = self.cx.wall_ms().unwrap_or(u64::MAX);
        let is_valid = |inbox: &&Inbox| now_ms <= inbox.bundle.not_after_ms.saturating_add(CLOCK_MS);
        let inboxes = self.sessions.of_user(user).filter_map(|session| session.inbox.as_deref());
        newest(
            inboxes.filter(is_valid).map(|inbox| Found::new(&inbox.bundle, inbox.signed.clone())).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_devices_are_told_the_newest_first_and_each_once() {
        let found = |device: u8, since_ms: u64| Found {
            device: DeviceId::new([device; 16]),
            since_ms,
            signed: Bytes::new(),
        };
        let mut all: Vec<Found> = (0..20).map(|device| found(device, device.into())).collect();
        all.push(found(3, 99));
        let devices: Vec<u8> = newest(all).iter().map(|found| found.device.as_bytes()[0]).collect();
        assert_eq!(devices, [3, 19, 18, 17, 16, 15, 14, 13]);
    }
}
