//! Who is in our channels, and when we say that we are. Source: `docs/protocol.md`, section 6.1, "HERE".

use super::random::Random;
use crate::message::{Member, MemberChange};
use darkchat_proto::{ChannelId, Time, UserId, UserName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often we say that we are there (HERE_EVERY), with its jitter in percent.
const HERE_EVERY: (Duration, u32) = (Duration::from_secs(120), 20);
/// After how long without an entry a member is forgotten (HERE_EXPIRE).
const HERE_EXPIRE: Duration = Duration::from_secs(300);
/// We say it while we know of so many others at most.
const SMALL: usize = 64;
/// Members that are known of one channel: more than [`SMALL`] decides nothing any more, and a screen shows no more.
const PER_CHANNEL: usize = 256;
/// Members that are known in all channels together.
const IN_ALL: usize = 65_536;

#[derive(Debug, Default)]
struct Room {
    members: BTreeMap<UserId, (UserName, Time)>,
    /// When we say next that we are there; `None` while the channel is not joined.
    here_at: Option<Time>,
    /// Whether we said so since we joined, so that leaving is worth a word.
    said: bool,
}

/// The members of our channels.
#[derive(Debug, Default)]
pub(super) struct Members {
    rooms: BTreeMap<ChannelId, Room>,
    by_age: BTreeSet<(Time, ChannelId, UserId)>,
    here: BTreeSet<(Time, ChannelId)>,
}

impl Members {
    /// A channel is joined; with `announce` we say so at once.
    pub(super) fn joined(&mut self, now: Time, channel: ChannelId, announce: bool) {
        self.rooms.entry(channel).or_default();
        self.schedule(channel, announce.then_some(now));
    }

    /// The link is gone: nothing can be said.
    pub(super) fn silence(&mut self) {
        self.here.clear();
        for room in self.rooms.values_mut() {
            room.here_at = None;
        }
    }

    /// A channel was left. Says whether the others were told that we are there.
    pub(super) fn left(&mut self, channel: ChannelId) -> bool {
        self.schedule(channel, None);
        let Some(room) = self.rooms.remove(&channel) else { return false };
        for (user, (_, last)) in &room.members {
            self.by_age.remove(&(*last, channel, *user));
        }
        room.said
    }

    /// Somebody wrote in a channel, whatever it was.
    pub(super) fn heard(
        &mut self,
        now: Time,
        channel: ChannelId,
        user: UserId,
        name: &UserName,
    ) -> Option<MemberChange> {
        let room = self.rooms.get_mut(&channel)?;
        if let Some((known, last)) = room.members.get_mut(&user) {
            self.by_age.remove(&(*last, channel, user));
            self.by_age.insert((now, channel, user));
            *last = now;
            let renamed = known != name;
            known.clone_from(name);
            return renamed.then(|| MemberChange::Renamed(Member { user, name: name.clone() }));
        }
        if room.members.len() >= PER_CHANNEL || self.by_age.len() >= IN_ALL {
            return None;
        }
        room.members.insert(user, (name.clone(), now));
        self.by_age.insert((now, channel, user));
        Some(MemberChange::Came(Member { user, name: name.clone() }))
    }

    /// Somebody says that it leaves.
    pub(super) fn parted(&mut self, channel: ChannelId, user: UserId) -> Option<MemberChange> {
        let (name, last) = self.rooms.get_mut(&channel)?.members.remove(&user)?;
        self.by_age.remove(&(last, channel, user));
        Some(MemberChange::Left(Member { user, name }))
    }

    /// The next member of whom nothing was heard for too long; it is forgotten.
    pub(super) fn expired(&mut self, now: Time) -> Option<(ChannelId, MemberChange)> {
        let (last, channel, user) = self.by_age.first().copied()?;
        if last + HERE_EXPIRE > now {
            return None;
        }
        self.by_age.pop_first();
        let (name, _) = self.rooms.get_mut(&channel)?.members.remove(&user)?;
        Some((channel, MemberChange::Expired(Member { user, name })))
    }

    /// The next channel in which it is time to say that we are there. The time after that is set; the channel is
    /// passed over while it is large.
    pub(super) fn due(&mut self, now: Time, random: &mut Random) -> Option<ChannelId> {
        loop {
            let (at, channel) = self.here.first().copied()?;
            if at > now {
                return None;
            }
            let (every, jitter) = HERE_EVERY;
            self.schedule(channel, Some(now + random.around(every, jitter)));
            if self.rooms.get(&channel).is_some_and(|room| room.members.len() <= SMALL) {
                return Some(channel);
            }
        }
    }

    /// We said in a channel that we are there.
    pub(super) fn said(&mut self, channel: ChannelId) {
        if let Some(room) = self.rooms.get_mut(&channel) {
            room.said = true;
        }
    }

    /// When somebody is forgotten or something is to be said.
    pub(super) fn deadline(&self) -> Option<Time> {
        let expiry = self.by_age.first().map(|(last, ..)| *last + HERE_EXPIRE);
        expiry.into_iter().chain(self.here.first().map(|(at, _)| *at)).min()
    }

    fn schedule(&mut self, channel: ChannelId, at: Option<Time>) {
        let Some(room) = self.rooms.get_mut(&channel) else { return };
        if let Some(before) = std::mem::replace(&mut room.here_at, at) {
            self.here.remove(&(before, channel));
        }
        if let Some(at) = at {
            self.here.insert((at, channel));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(number: u8) -> ChannelId {
        ChannelId::new([number; 32])
    }

    fn user(number: u16) -> UserId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        UserId::new(bytes)
    }

    fn heard(members: &mut Members, second: u64, channel: u8, who: u16) -> Option<MemberChange> {
        members.heard(Time::from_millis(second * 1_000), room(channel), user(who), &UserName::default())
    }

    #[test]
    fn a_member_comes_once_and_expires_300_seconds_after_its_last_entry() {
        let mut members = Members::default();
        members.joined(Time::ZERO, room(1), true);
        assert!(matches!(heard(&mut members, 0, 1, 7), Some(MemberChange::Came(_))));
        assert_eq!(heard(&mut members, 100, 1, 7), None);
        assert_eq!(members.expired(Time::from_millis(399_999)), None);
        let (channel, change) = members.expired(Time::from_millis(400_000)).unwrap();
        assert_eq!(channel, room(1));
        assert!(matches!(change, MemberChange::Expired(member) if member.user == user(7)));
        assert!(members.by_age.is_empty());
    }

    #[test]
    fn we_say_that_we_are_there_at_once_and_then_every_two_minutes_while_the_channel_is_small() {
        let (mut members, mut random) = (Members::default(), Random::new([1; 32]));
        members.joined(Time::ZERO, room(1), true);
        assert_eq!(members.due(Time::ZERO, &mut random), Some(room(1)));
        let next = members.deadline().unwrap();
        assert!((96_000..=144_000).contains(&next.since_start().as_millis()));
        for who in 0..64 {
            heard(&mut members, 0, 1, who);
        }
        assert_eq!(members.due(next, &mut random), Some(room(1)), "64 others are few");
        heard(&mut members, 100, 1, 64);
        assert_eq!(members.due(Time::from_millis(300_000), &mut random), None, "65 are many");
    }

    #[test]
    fn at_most_256_members_of_a_channel_and_65536_in_all_are_known() {
        let mut members = Members::default();
        for channel in 0..=255 {
            members.joined(Time::ZERO, room(channel), true);
            for who in 0..300 {
                heard(&mut members, 0, channel, who);
            }
            assert_eq!(members.rooms[&room(channel)].members.len(), PER_CHANNEL);
        }
        assert_eq!(members.by_age.len(), IN_ALL);
        members.left(room(0));
        assert_eq!(members.by_age.len(), IN_ALL - PER_CHANNEL, "leaving forgets all of them");
    }
}
