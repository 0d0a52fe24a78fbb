//! Telling members of a rekey, and asking when we were away. Source: `docs/protocol.md`, section 8.1, "rekey" and "ask".

use super::errands::{Errand, What};
use super::{Private, Privates};
use crate::session::{Event, Failure, Session, Ticket};
use darkchat_proto::{ChannelId, ContentId, GroupControl, Time, UserId};
use std::collections::VecDeque;
use std::time::Duration;

/// How long after a round of telling the next one begins, at first and at most; it doubles in between. Who is away costs
/// a lookup each time.
const TELL_AGAIN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));
/// How many members are asked one after the other for what we missed.
const ASKED: usize = 8;
/// How long the answer of one of them is waited for.
pub(super) const ASK_WAIT: Duration = Duration::from_secs(5);
/// How long the answer of one who has acknowledged the question is waited for.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// A member is answered no more often than this.
const ANSWER_EVERY: Duration = Duration::from_secs(10);
/// Members whose last answer is remembered: as many as there may be.
const ANSWERED: usize = 256;

/// Whom we ask for what we missed.
#[derive(Debug, Default)]
pub(super) struct Asking {
    next: VecDeque<UserId>,
    at: Option<Time>,
}

impl Asking {
    /// Somebody may know more: these are asked, in this order.
    pub(super) fn begin(&mut self, now: Time, whom: impl IntoIterator<Item = UserId>) {
        for user in whom {
            if self.next.len() < ASKED && !self.next.contains(&user) {
                self.next.push_back(user);
            }
        }
        if !self.next.is_empty() {
            self.at.get_or_insert(now);
        }
    }

    /// What we missed has come.
    pub(super) fn heard(&mut self) {
        *self = Self::default();
    }

    pub(super) const fn deadline(&self) -> Option<Time> {
        self.at
    }

    /// The next one to ask, if it is time. After the last one an answer is still waited for.
    fn due(&mut self, now: Time) -> Option<UserId> {
        if self.at.is_none_or(|at| at > now) {
            return None;
        }
        let user = self.next.pop_front();
        self.at = user.map(|_| now + ASK_WAIT);
        user
    }

    /// Who was asked has acknowledged it: if there is something to tell, it comes right behind.
    fn is_there(&mut self, now: Time) {
        if let Some(at) = &mut self.at {
            *at = (*at).min(now + ANSWER_WAIT);
        }
    }

    /// Who was asked is not there: the next one is asked at once.
    fn not_there(&mut self, now: Time) {
        if self.at.is_some() {
            self.at = Some(now);
        }
    }
}

impl Privates {
    /// What an errand says, if there is still something to say.
    fn letter(&self, errand: &Errand) -> Option<GroupControl> {
        let line = |channel: &ChannelId| {
            self.of.get(channel).and_then(|outer| self.channels.get(outer)).map(|private| &private.line)
        };
        Some(match &errand.what {
            What::Rekey { channel, parent } => {
                let generation = line(channel)?.get(channel)?;
                let waits = generation.untold.contains(&(errand.to, *parent));
                GroupControl::Rekey(generation.rekeys.get(parent).filter(|_| waits)?.clone())
            }
            What::Pass { channel, parent } => {
                GroupControl::Rekey(line(channel)?.get(channel)?.rekeys.get(parent)?.clone())
            }
            What::Ask { channel } => GroupControl::Ask(*channel),
            What::Welcome { channel } | What::Offer { channel, .. } => {
                let outer = self.of.get(channel)?;
                GroupControl::Invite(Box::new(self.invite(outer)?))
            }
        })
    }
}

impl Session {
    /// A rekey of ours is told to all whom it concerns, at once.
    pub(super) fn tell_now(&mut self, now: Time, outer: &ChannelId) {
        if let Some(private) = self.private.channels.get_mut(outer) {
            private.tell_at = Some((now, 0));
        }
        self.tell(now);
    }

    /// Begins what is due: rounds of telling, and questions to members.
    pub(super) fn tell(&mut self, now: Time) {
        loop {
            let (mut errands, mut asked) = (Vec::new(), Vec::new());
            for (outer, private) in &mut self.private.channels {
                if private.tell_at.is_some_and(|(at, _)| at <= now) {
                    round(private, now, &self.private.errands, &mut errands);
                }
                let was_asking = private.asking.deadline().is_some();
                if let Some(to) = private.asking.due(now) {
                    errands.push(Errand { to, what: What::Ask { channel: private.line.tip() } });
                } else if was_asking && private.asking.deadline().is_none() {
                    asked.push(*outer);
                }
            }
            let is_all = errands.is_empty();
            for channel in asked {
                self.event(Event::Kept { channel });
            }
            for errand in errands {
                // What finds no room comes up again in the next round.
                self.private.errands.push(errand);
            }
            self.run_errands(now);
            // Who is not there makes the next one due; there is an end to whom we ask.
            if is_all {
                return;
            }
        }
    }

    /// Sends what waits, as far as there is room among the direct messages.
    pub(super) fn run_errands(&mut self, now: Time) {
        while let Some(errand) = self.private.errands.next() {
            let Some(control) = self.private.letter(&errand) else {
                // There is nothing to say any more, or the channel is gone: who waits for the outcome hears so.
                self.errand_done(now, &errand, Err(Failure::NotJoined));
                continue;
            };
            match self.send_control(now, errand.to, &control) {
                Ok(id) => self.private.errands.gone(id, errand),
                Err(Failure::Full) => return self.private.errands.put_back(errand),
                Err(why) => self.errand_done(now, &errand, Err(why)),
            }
        }
    }

    /// What became of a control that was sent.
    pub(in crate::session) fn control_done(
        &mut self,
        now: Time,
        id: ContentId,
        _to: UserId,
        done: Result<(), Failure>,
    ) {
        if let Some(errand) = self.private.errands.done(&id) {
            self.errand_done(now, &errand, done);
        }
        self.tell(now);
    }

    fn errand_done(&mut self, now: Time, errand: &Errand, done: Result<(), Failure>) {
        let generation = |what: &What| match what {
            What::Rekey { channel, .. } | What::Welcome { channel } | What::Ask { channel } => Some(*channel),
            _ => None,
        };
        if let What::Offer { ticket, .. } = errand.what {
            return self.event(Event::Offered { ticket, done });
        }
        let Some(channel) = generation(&errand.what) else { return };
        let outer = self.private.outer(&channel);
        let Some(private) = self.private.channels.get_mut(&outer) else { return };
        match (&errand.what, done) {
            (What::Ask { .. }, Err(_)) => private.asking.not_there(now),
            (What::Ask { .. }, Ok(())) => private.asking.is_there(now),
            (_, Err(_)) => {}
            (_, Ok(())) => {
                if let Some(generation) = private.line.get_mut(&channel) {
                    match &errand.what {
                        What::Rekey { parent, .. } => generation.untold.remove(&(errand.to, *parent)),
                        _ => generation.invited.remove(&errand.to),
                    };
                }
                self.event(Event::Kept { channel: outer });
            }
        }
    }

    /// A control came from a proven user, once.
    pub(in crate::session) fn control_received(&mut self, now: Time, from: UserId, control: GroupControl) {
        match control {
            GroupControl::Rekey(signed) => self.rekey_came(now, from, signed),
            GroupControl::Ask(channel) => self.answer(now, from, &channel),
            GroupControl::Invite(invite) => {
                let is_of_us = invite.network == self.network;
                if is_of_us && !self.private.is_generation(&invite.channel) {
                    self.event(Event::Invited { from, invite });
                }
            }
            // A later version's.
            _ => {}
        }
    }

    /// A member was away and asks what came after a generation.
    fn answer(&mut self, now: Time, from: UserId, channel: &ChannelId) {
        let Some(outer) = self.private.of.get(channel).copied() else { return };
        let Some(private) = self.private.channels.get_mut(&outer) else { return };
        let too_soon = private.answered.get(&from).is_some_and(|at| *at + ANSWER_EVERY > now);
        if too_soon || (private.answered.len() >= ANSWERED && !private.answered.contains_key(&from)) {
            private.answered.retain(|_, at| *at + ANSWER_EVERY > now);
            return;
        }
        let answers = private.line.answer(&from, channel);
        if answers.is_empty() {
            return;
        }
        private.answered.insert(from, now);
        for (channel, parent) in answers {
            self.private.errands.push(Errand { to: from, what: What::Pass { channel, parent } });
        }
        self.run_errands(now);
    }

    /// The user sends an invitation to somebody. It is told when it arrived, and taken up only when that one agrees.
    pub(in crate::session) fn offer(&mut self, now: Time, ticket: Ticket, outer: &ChannelId, to: UserId) {
        let channel = self.private.inner(outer);
        let errand = Errand { to, what: What::Offer { channel, ticket } };
        if !self.private.is_private(outer) || !self.private.errands.push(errand) {
            let why = if self.private.is_private(outer) { Failure::Full } else { Failure::NotJoined };
            return self.event(Event::Offered { ticket, done: Err(why) });
        }
        self.run_errands(now);
    }
}

/// Everybody who does not know yet is told once more; the next round comes later than this one did.
fn round(private: &mut Private, now: Time, errands: &super::Errands, out: &mut Vec<Errand>) {
    let rounds = private.tell_at.map_or(0, |(_, rounds)| rounds);
    let mut waits = false;
    for (channel, generation) in &private.line.generations {
        waits |= !generation.untold.is_empty() || !generation.invited.is_empty();
        if errands.tells(channel) {
            continue;
        }
        for (to, parent) in &generation.untold {
            out.push(Errand { to: *to, what: What::Rekey { channel: *channel, parent: *parent } });
        }
        let is_current = private.line.tip() == *channel;
        for to in generation.invited.iter().filter(|_| is_current) {
            out.push(Errand { to: *to, what: What::Welcome { channel: *channel } });
        }
    }
    let (first, most) = TELL_AGAIN;
    let wait = first.saturating_mul(1 << rounds.min(16)).min(most);
    private.tell_at = waits.then(|| (now + wait, rounds.saturating_add(1)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_are_asked_one_after_the_other_and_nobody_twice() {
        let mut asking = Asking::default();
        let users = (0..20).chain(0..20).map(|number| UserId::new([number; 32]));
        asking.begin(Time::ZERO, users);
        let mut asked = Vec::new();
        while let Some(at) = asking.deadline() {
            asked.extend(asking.due(at));
        }
        assert_eq!(asked, (0..8).map(|number| UserId::new([number; 32])).collect::<Vec<_>>());
    }
}
