//! Where a user is: asked of the servers that say they know, and of no others. Source: `docs/protocol.md`, section 9.7.

use crate::inbox::{Found, newest};
use crate::queue::OURSELVES;
use crate::router::Travelling;
use crate::session::Asker;
use crate::{LinkId, Node, Output, VerifyId};
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_crypto::bundle::{self, Expected, MAX_DEVICES};
use darkchat_proto::limits::MAX_BUNDLE;
use darkchat_proto::{Bundle, Carried, Class, Code, Kind, RouteHead, RouterId, Tag, Time, UserId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Who has not answered by then is not waited for.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// Who has not answered by then is asked once more, by another way if there is one: whoever is on the first may take
/// everything and pass on nothing.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The most servers asked about one user: more than a user has devices.
const FAN: usize = 8;
/// What was found serves those who ask the same within this time.
const ANSWER_AGE: Duration = Duration::from_secs(5);
/// The most users that are looked for at once, and the most of whom an answer is kept: 16 KiB each at the very most.
const MAX_PENDING: usize = 1_024;
const MAX_ANSWERS: usize = 1_024;
/// The most clients that wait for an answer.
const MAX_ASKERS: usize = 8_192;
/// The most bundles whose signatures are being checked: 2 KiB each at the very most.
const MAX_VERIFYING: usize = 4_096;
/// A server that says it knows a user and has nothing to show for it is asked last for so long.
const DISTRUST: Duration = Duration::from_secs(600);
/// The most servers of which it is known whether they answered truthfully: all of a network.
const MAX_RATED: usize = 4_096;

/// A user that is looked for.
#[derive(Debug)]
struct Pending {
    user: UserId,
    /// When the silent ones are asked again, and when they are not waited for any more.
    again: Time,
    until: Time,
    askers: Vec<Asker>,
    /// All that say they know.
    claimed: Vec<RouterId>,
    /// Those that were asked and whose answer is not judged, and the number that the question has.
    waiting: BTreeMap<RouterId, u64>,
    found: Vec<Found>,
    /// Whether everybody who says so was asked, and has answered.
    complete: bool,
}

/// What was found not long ago.
#[derive(Debug)]
struct Answer {
    until: Time,
    claimed: Vec<RouterId>,
    found: Vec<Found>,
}

/// Bundles whose signatures are being checked.
#[derive(Debug)]
struct Verifying {
    lookup: u64,
    server: RouterId,
    signed: Vec<Bytes>,
}

/// How a server has answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rating {
    at: Time,
    was_true: bool,
}

/// All lookups, and what they taught.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pending: BTreeMap<u64, Pending>,
    by_time: BTreeSet<(Time, u64)>,
    /// Those whose silent servers were not asked again yet.
    again: BTreeSet<(Time, u64)>,
    /// The newest lookup of each user, for those who ask the same.
    by_user: BTreeMap<UserId, u64>,
    askers: usize,
    /// The lookup and the one server that each question is for, so that nobody can answer for another.
    asked: BTreeMap<u64, (u64, RouterId)>,
    verifying: BTreeMap<VerifyId, Verifying>,
    /// The bundles in it.
    bundles: usize,
    answers: BTreeMap<UserId, Answer>,
    answers_by_time: BTreeSet<(Time, UserId)>,
    ratings: BTreeMap<RouterId, Rating>,
    next: u64,
}

impl Lookups {
    fn next(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn has_room(&self) -> bool {
        self.pending.len() < MAX_PENDING && self.askers < MAX_ASKERS
    }

    /// Another one asks for a user that is looked for already, by the servers that are asked. `false`: nobody does that,
    /// or too many wait.
    fn join(&mut self, user: UserId, claimed: &[RouterId], asker: Asker) -> bool {
        let pending = self.by_user.get(&user).and_then(|number| self.pending.get_mut(number));
        let pending = pending.filter(|pending| pending.claimed == claimed && self.askers < MAX_ASKERS);
        let Some(pending) = pending else { return false };
        pending.askers.push(asker);
        self.askers = self.askers.saturating_add(1);
        true
    }

    fn begin(&mut self, pending: Pending) -> u64 {
        let number = self.next();
        self.by_time.insert((pending.until, number));
        self.again.insert((pending.again, number));
        self.by_user.insert(pending.user, number);
        self.askers = self.askers.saturating_add(pending.askers.len());
        self.pending.insert(number, pending);
        number
    }

    /// One server is asked. `false`: the lookup ended meanwhile.
    fn ask(&mut self, lookup: u64, server: RouterId, corr: u64) -> bool {
        let waiting = self.pending.get_mut(&lookup).and_then(|pending| pending.waiting.get_mut(&server));
        let Some(place) = waiting else { return false };
        *place = corr;
        self.asked.insert(corr, (lookup, server));
        true
    }

    fn end(&mut self, number: u64) -> Option<Pending> {
        let pending = self.pending.remove(&number)?;
        self.by_time.remove(&(pending.until, number));
        self.again.remove(&(pending.again, number));
        if self.by_user.get(&pending.user) == Some(&number) {
            self.by_user.remove(&pending.user);
        }
        self.askers = self.askers.saturating_sub(pending.askers.len());
        for corr in pending.waiting.values() {
            self.asked.remove(corr);
        }
        Some(pending)
    }

    /// A server has answered, truthfully or not; the lookup, if it was the last one.
    fn answered(
        &mut self,
        now: Time,
        (lookup, server): (u64, RouterId),
        found: Vec<Found>,
    ) -> Option<Pending> {
        self.rate(now, server, !found.is_empty());
        let pending = self.pending.get_mut(&lookup)?;
        pending.waiting.remove(&server)?;
        pending.found.extend(found);
        pending.found = newest(std::mem::take(&mut pending.found));
        if pending.waiting.is_empty() { self.end(lookup) } else { None }
    }

    /// Bundles of an answer are to be checked. `None`: there are none, or too many are being checked.
    fn verify(&mut self, (lookup, server): (u64, RouterId), signed: Vec<Bytes>) -> Option<VerifyId> {
        let bundles = self.bundles.saturating_add(signed.len());
        if signed.is_empty() || bundles > MAX_VERIFYING || !self.pending.contains_key(&lookup) {
            return None;
        }
        let verify = VerifyId(self.next());
        self.bundles = bundles;
        self.verifying.insert(verify, Verifying { lookup, server, signed });
        Some(verify)
    }

    fn verified(&mut self, verify: VerifyId) -> Option<Verifying> {
        let verifying = self.verifying.remove(&verify)?;
        self.bundles = self.bundles.saturating_sub(verifying.signed.len());
        Some(verifying)
    }

    fn rate(&mut self, now: Time, server: RouterId, was_true: bool) {
        if self.ratings.len() >= MAX_RATED && !self.ratings.contains_key(&server) {
            let oldest = self.ratings.iter().min_by_key(|(_, rating)| rating.at).map(|(server, _)| *server);
            oldest.and_then(|oldest| self.ratings.remove(&oldest));
        }
        self.ratings.insert(server, Rating { at: now, was_true });
    }

    /// Whom to ask first: those that told the truth, then those that are unknown, then those that did not.
    fn rank(&self, now: Time, server: RouterId) -> u8 {
        match self.ratings.get(&server) {
            Some(Rating { was_true: true, .. }) => 0,
            Some(Rating { at, .. }) if now.saturating_since(*at) < DISTRUST => 2,
            _ => 1,
        }
    }

    fn keep(&mut self, now: Time, user: UserId, claimed: Vec<RouterId>, found: Vec<Found>) {
        self.forget(user);
        if self.answers.len() >= MAX_ANSWERS
            && let Some((_, oldest)) = self.answers_by_time.first().copied()
        {
            self.forget(oldest);
        }
        let until = now + ANSWER_AGE;
        self.answers_by_time.insert((until, user));
        self.answers.insert(user, Answer { until, claimed, found });
    }

    /// What is known of a user may be wrong: it is asked for anew.
    pub(crate) fn forget(&mut self, user: UserId) {
        if let Some(answer) = self.answers.remove(&user) {
            self.answers_by_time.remove(&(answer.until, user));
        }
    }

    /// What was found a moment ago, if the same servers say that they know.
    fn known(&self, now: Time, user: UserId, claimed: &[RouterId]) -> Option<Vec<Found>> {
        let answer = self.answers.get(&user)?;
        (answer.until > now && answer.claimed == claimed).then(|| answer.found.clone())
    }

    fn forget_old(&mut self, now: Time) {
        while let Some((_, user)) = self.answers_by_time.first().copied().filter(|(until, _)| *until <= now) {
            self.forget(user);
        }
    }

    /// The next lookup whose silent servers are to be asked again: whom it is about, and these with their numbers.
    fn next_silent(&mut self, now: Time) -> Option<(UserId, Vec<(RouterId, u64)>)> {
        let due = self.again.first().copied().filter(|(at, _)| *at <= now)?;
        self.again.remove(&due);
        let pending = self.pending.get(&due.1)?;
        let is_silent = |(_, corr): &(&RouterId, &u64)| self.asked.contains_key(corr);
        let silent = pending.waiting.iter().filter(is_silent).map(|(server, corr)| (*server, *corr));
        Some((pending.user, silent.collect()))
    }

    fn next_late(&mut self, now: Time) -> Option<Pending> {
        let (_, number) = self.by_time.first().copied().filter(|(until, _)| *until <= now)?;
        self.end(number)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let pending = self.by_time.first().map(|(at, _)| *at);
        let again = self.again.first().map(|(at, _)| *at);
        let answer = self.answers_by_time.first().map(|(at, _)| *at);
        [pending, again, answer].into_iter().flatten().min()
    }

    /// The users that are looked for, the clients that wait, and the users of whom an answer is kept.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.pending.len(), self.askers, self.answers.len())
    }
}

impl Node {
    /// A client asks where a user is.
    pub(crate) fn look_up(&mut self, link: LinkId, req: u32, user: UserId) {
        let now = self.cx.now;
        let Some(session) = self.sessions.get_mut(link) else { return };
        let (asker, pace) = (session.asking(req), session.pace_lookup(now));
        if !self.paced(link, req, pace) || req == 0 {
            return;
        }
        let tag = Tag::of_inbox(&self.config.network, &user);
        let claimed: Vec<RouterId> = self.interest.servers(tag).collect();
        if claimed.is_empty() {
            return self.show_where(&asker, user, Vec::new(), true);
        }
        if let Some(found) = self.lookups.known(now, user, &claimed) {
            return self.show_where(&asker, user, found, true);
        }
        if !self.lookups.join(user, &claimed, asker) {
            self.ask_where(user, asker, claimed);
        }
    }

    /// Asks the servers that say they know.
    fn ask_where(&mut self, user: UserId, asker: Asker, claimed: Vec<RouterId>) {
        let whom = self.whom_to_ask(&claimed);
        if whom.is_empty() || !self.lookups.has_room() {
            return self.show_where(&asker, user, Vec::new(), false);
        }
        let lookup = self.lookups.begin(Pending {
            user,
            again: self.cx.now + ASK_AGAIN,
            until: self.cx.now + LOOKUP_TIMEOUT,
            askers: vec![asker],
            complete: whom.len() == claimed.len(),
            claimed,
            waiting: whom.iter().map(|server| (*server, 0)).collect(),
            found: Vec::new(),
        });
        for server in whom {
            let corr = self.cx.rng.next_u64().max(1);
            if self.lookups.ask(lookup, server, corr) {
                self.put_question(user, (server, corr), None);
            }
        }
    }

    /// Asks one server; not by the neighbour `avoid`, unless there is no other.
    fn put_question(&mut self, user: UserId, (server, corr): (RouterId, u64), avoid: Option<RouterId>) {
        let mut head = self.new_head(Class::LookupReq, vec![server], false);
        head.corr = corr;
        let payload = Carried::Lookup(user).encode();
        self.forward(Travelling { head, payload, source: OURSELVES, from: avoid });
    }

    /// Asks those again that have said nothing, where there is another way to them.
    fn ask_again(&mut self) {
        while let Some((user, silent)) = self.lookups.next_silent(self.cx.now) {
            for (server, corr) in silent {
                let first = self.map.next_hop(server, None);
                if self.map.next_hop(server, first) != first {
                    self.put_question(user, (server, corr), first);
                }
            }
        }
    }

    /// Those that told the truth before come first; among equals nobody can choose to be asked.
    fn whom_to_ask(&mut self, claimed: &[RouterId]) -> Vec<RouterId> {
        let now = self.cx.now;
        let (lookups, rng) = (&self.lookups, &mut self.cx.rng);
        let mut order: Vec<(u8, u64, RouterId)> =
            claimed.iter().map(|server| (lookups.rank(now, *server), rng.next_u64(), *server)).collect();
        order.sort_unstable();
        let map = &mut self.map;
        let has_way = |(_, _, server): (u8, u64, RouterId)| map.next_hop(server, None).map(|_| server);
        order.into_iter().filter_map(has_way).take(FAN).collect()
    }

    /// Another server asks where a user is.
    pub(crate) fn asked_where(&mut self, link: LinkId, head: &RouteHead, payload: Bytes) {
        let is_ours = head.origin == self.identity.router();
        let Ok(Carried::Lookup(user)) = Carried::decode(Class::LookupReq, payload) else { return };
        if head.corr == 0 || is_ours || self.server_of(head.origin).is_none() {
            return;
        }
        if !self.peers.pace_lookup(self.cx.now, link, head.origin) {
            return self.cx.refused(link, Code::RateLimited);
        }
        let bundles = self.bundles_here(user).into_iter().map(|found| found.signed).collect();
        let payload = Carried::Found { bundles, complete: true }.encode();
        let mut answer = self.new_head(Class::LookupRep, vec![head.origin], false);
        answer.corr = head.corr;
        self.answer_by(Some(link), Travelling { head: answer, payload, source: link, from: None });
    }

    /// A server answered a question of ours: the signatures that it shows are checked, and those of nobody else.
    pub(crate) fn told_where(&mut self, corr: u64, payload: Bytes) {
        let Some(whose) = self.lookups.asked.remove(&corr) else { return };
        let bundles = match Carried::decode(Class::LookupRep, payload) {
            Ok(Carried::Found { bundles, .. }) => bundles,
            _ => Vec::new(),
        };
        let is_short = |signed: &Bytes| signed.len() <= MAX_BUNDLE;
        let bundles: Vec<Bytes> = bundles.into_iter().take(MAX_DEVICES).filter(is_short).collect();
        match self.lookups.verify(whose, bundles.clone()) {
            Some(verify) => self.cx.out.push_back(Output::Verify { verify, bundles }),
            None => self.judged(whose, Vec::new()),
        }
    }

    /// The signatures of a server's answer are checked: whether what they sign serves is for us to say.
    pub(crate) fn verified(&mut self, verify: VerifyId, bundles: Vec<Option<Verified<Bundle>>>) {
        let Some(Verifying { lookup, server, signed }) = self.lookups.verified(verify) else { return };
        let Some(user) = self.lookups.pending.get(&lookup).map(|pending| pending.user) else { return };
        let now_ms = self.cx.wall_ms().unwrap_or_default();
        let expected = Expected { user, device: None, server: self.server_of(server) };
        let serves = |(bundle, signed): (Option<Verified<Bundle>>, Bytes)| {
            let bundle = bundle.filter(|bundle| bundle::check(bundle, &expected, now_ms).is_ok())?;
            Some(Found::new(&bundle, signed))
        };
        let found = bundles.into_iter().zip(signed).filter_map(serves).collect();
        self.judged((lookup, server), found);
    }

    /// There is no way to a server that was asked.
    pub(crate) fn cannot_ask(&mut self, corr: u64) {
        let Some(whose) = self.lookups.asked.remove(&corr) else { return };
        if let Some(pending) = self.lookups.pending.get_mut(&whose.0) {
            pending.complete = false;
        }
        self.judged(whose, Vec::new());
    }

    fn judged(&mut self, whose: (u64, RouterId), found: Vec<Found>) {
        if let Some(ended) = self.lookups.answered(self.cx.now, whose, found) {
            self.looked_up(ended);
        }
    }

    fn looked_up(&mut self, ended: Pending) {
        let Pending { user, askers, claimed, found, complete, .. } = ended;
        if complete {
            self.lookups.keep(self.cx.now, user, claimed, found.clone());
        }
        for asker in askers {
            self.show_where(&asker, user, found.clone(), complete);
        }
    }

    /// Answers a client: with what other servers have shown, and with what is here now.
    fn show_where(&mut self, asker: &Asker, user: UserId, mut found: Vec<Found>, complete: bool) {
        let Some(link) = self.sessions.of_asker(asker) else { return };
        found.extend(self.bundles_here(user));
        let bundles = newest(found).into_iter().map(|found| found.signed).collect();
        self.reply(link, asker.req, Kind::Found { bundles, complete });
    }

    /// Ends the lookups that somebody did not answer in time.
    pub(crate) fn expire_lookups(&mut self) {
        let now = self.cx.now;
        self.ask_again();
        while let Some(late) = self.lookups.next_late(now) {
            for server in late.waiting.keys() {
                self.lookups.rate(now, *server, false);
            }
            self.looked_up(Pending { complete: false, ..late });
        }
        self.lookups.forget_old(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::{DeviceId, SessionId};

    fn user(number: u64) -> UserId {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        UserId::new(key)
    }

    fn asker() -> Asker {
        let (device, session) = (DeviceId::new([1; 16]), SessionId::new([1; 16]));
        Asker { user: user(0), device, session, req: 1 }
    }

    fn pending(of: u64, servers: u64) -> Pending {
        let claimed: Vec<RouterId> = (1..=servers).map(RouterId).collect();
        Pending {
            user: user(of),
            again: Time::ZERO + ASK_AGAIN,
            until: Time::ZERO + LOOKUP_TIMEOUT,
            askers: vec![asker()],
            waiting: claimed.iter().map(|server| (*server, 0)).collect(),
            claimed,
            found: Vec::new(),
            complete: true,
        }
    }

    #[test]
    fn the_same_question_waits_for_the_same_answer_and_who_waits_is_bounded() {
        let mut lookups = Lookups::default();
        let lookup = lookups.begin(pending(1, 2));
        assert!(lookups.ask(lookup, RouterId(1), 11) && lookups.ask(lookup, RouterId(2), 12));
        assert!(!lookups.ask(lookup, RouterId(3), 13), "it was not to be asked");
        assert!(!lookups.join(user(1), &[RouterId(1)], asker()), "others say that they know");
        let claimed = [RouterId(1), RouterId(2)];
        let joined = (0..100_000).filter(|_| lookups.join(user(1), &claimed, asker())).count();
        assert_eq!((joined + 1, lookups.sizes()), (MAX_ASKERS, (1, MAX_ASKERS, 0)));
        assert!(!lookups.has_room());
        assert!(lookups.answered(Time::ZERO, (lookup, RouterId(1)), Vec::new()).is_none());
        let ended = lookups.answered(Time::ZERO, (lookup, RouterId(2)), Vec::new()).unwrap();
        assert_eq!(ended.askers.len(), MAX_ASKERS);
        assert_eq!((lookups.sizes(), lookups.deadline()), ((0, 0, 0), None));
        assert!(lookups.by_user.is_empty());
    }

    #[test]
    fn what_is_asked_and_checked_ends_with_its_lookup() {
        let mut lookups = Lookups::default();
        let lookup = lookups.begin(pending(1, 1));
        lookups.ask(lookup, RouterId(1), 11);
        assert!(lookups.next_silent(Time::from_millis(999)).is_none());
        assert_eq!(lookups.next_silent(Time::ZERO + ASK_AGAIN), Some((user(1), vec![(RouterId(1), 11)])));
        assert!(lookups.next_silent(Time::ZERO + ASK_AGAIN).is_none(), "once");
        assert!(lookups.next_late(Time::from_millis(1_999)).is_none());
        assert!(lookups.next_late(Time::ZERO + LOOKUP_TIMEOUT).is_some());
        assert!(lookups.asked.is_empty() && lookups.by_time.is_empty() && lookups.by_user.is_empty());
        assert!(lookups.again.is_empty());
        assert_eq!(lookups.verify((lookup, RouterId(1)), vec![Bytes::new()]), None, "nobody waits for it");
    }

    #[test]
    fn bundles_that_are_checked_are_bounded_also_if_nobody_ever_says_what_came_of_it() {
        let mut lookups = Lookups::default();
        let lookup = lookups.begin(pending(1, 1));
        let verify = |lookups: &mut Lookups| lookups.verify((lookup, RouterId(1)), vec![Bytes::new(); 8]);
        let first = verify(&mut lookups).unwrap();
        let taken = (0..10_000).filter(|_| verify(&mut lookups).is_some()).count();
        assert_eq!((taken + 1) * 8, MAX_VERIFYING);
        assert!(lookups.verified(first).is_some() && lookups.verified(first).is_none());
        assert!(verify(&mut lookups).is_some(), "there is room again");
    }

    #[test]
    fn answers_serve_for_five_seconds_and_are_bounded() {
        let mut lookups = Lookups::default();
        let claimed = vec![RouterId(1)];
        for number in 0..5_000 {
            lookups.keep(Time::from_millis(number / 100), user(number), claimed.clone(), Vec::new());
        }
        assert_eq!((lookups.answers.len(), lookups.answers_by_time.len()), (MAX_ANSWERS, MAX_ANSWERS));
        let at = |ms: u64| Time::from_millis(49 + ms);
        assert!(lookups.known(at(4_999), user(4_999), &claimed).is_some());
        assert!(lookups.known(at(4_999), user(4_999), &[RouterId(2)]).is_none(), "another one says it knows");
        assert!(lookups.known(at(5_000), user(4_999), &claimed).is_none());
        lookups.forget_old(at(5_000));
        assert_eq!((lookups.answers.len(), lookups.deadline()), (0, None));
    }

    #[test]
    fn who_told_the_truth_is_asked_first_and_who_had_nothing_to_show_last_for_ten_minutes() {
        let mut lookups = Lookups::default();
        lookups.rate(Time::ZERO, RouterId(1), true);
        lookups.rate(Time::ZERO, RouterId(2), false);
        let ranks = |lookups: &Lookups, at| [1, 2, 3].map(|server| lookups.rank(at, RouterId(server)));
        assert_eq!(ranks(&lookups, Time::from_millis(599_999)), [0, 2, 1]);
        assert_eq!(ranks(&lookups, Time::from_millis(600_000)), [0, 1, 1]);
        for server in 0..10_000 {
            lookups.rate(Time::from_millis(server), RouterId(server), true);
        }
        assert_eq!(lookups.ratings.len(), MAX_RATED);
    }
}
