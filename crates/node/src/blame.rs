//! Forged posts, and who is to blame for them. Source: `docs/protocol.md`, sections 6.2 and 11.3.
//!
//! Whoever brought a forged post may have carried it in good faith. So it is asked, by a complaint, to verify what it
//! passes on; what still comes after that is its own.

use crate::{Event, LinkId, Node, Output};
use darkchat_proto::{Code, Frame, Kind, RouterId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Of the public posts on a peer link that are for us, one in so many is verified.
const CHECK_EVERY: u32 = 16;
/// After a forged one all from that link are, for so long.
const CHECK_ALL: Duration = Duration::from_secs(60);
/// How long a complaint is in force, and the most that one of another server is obeyed.
const COMPLAINT: Duration = Duration::from_secs(60);
/// What still waits at an honest neighbour when it hears a complaint has passed after this time: ten seconds each in
/// limbo, in a queue and on the link.
const GRACE: Duration = Duration::from_secs(30);
/// How long whoever is found guilty is neither dialled nor let in.
const BAR: Duration = Duration::from_secs(3_600);
/// The most that are barred at once; beyond it the one that is let in soonest is let in at once.
const MAX_BARRED: usize = 1_024;
/// Who complained in vain is not listened to for so long: a complaint costs us work.
const DEAF: Duration = Duration::from_secs(600);

/// What is known against the other end of a link.
#[derive(Debug)]
struct Suspect {
    router: RouterId,
    /// Until when all posts from it are verified.
    check_until: Option<Time>,
    /// When we complained to it last.
    complained: Option<Time>,
}

/// What follows from a forged post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Nothing new: it was told, and has had no time to act.
    Wait,
    /// It is to be told.
    Complain,
    /// It was told, has had the time, and goes on.
    Guilty,
}

/// All suspicions, complaints and bars.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    links: BTreeMap<LinkId, Suspect>,
    /// Neighbours complained: until then everything that we pass on is verified.
    all_until: Option<Time>,
    /// Who complained in that time, and whether anything forged was found in it.
    plaintiffs: BTreeSet<RouterId>,
    found: bool,
    deaf: BTreeMap<RouterId, Time>,
    barred: BTreeMap<RouterId, Time>,
}

impl Blame {
    /// A link is up; how many of its posts are verified.
    fn up(&mut self, link: LinkId, router: RouterId) -> u32 {
        self.links.insert(link, Suspect { router, check_until: None, complained: None });
        if self.all_until.is_some() { 1 } else { CHECK_EVERY }
    }

    fn down(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// A link brought a forged post. What follows, and whether all from it are verified only from now on.
    fn forged(&mut self, now: Time, link: LinkId) -> (Ruling, bool) {
        self.found = true;
        let Some(suspect) = self.links.get_mut(&link) else { return (Ruling::Wait, false) };
        let is_new = suspect.check_until.replace(now + CHECK_ALL).is_none() && self.all_until.is_none();
        let passed = suspect.complained.map(|at| now.saturating_since(at));
        let ruling = match passed {
            Some(passed) if passed < GRACE => Ruling::Wait,
            Some(passed) if passed <= COMPLAINT => Ruling::Guilty,
            _ => {
                suspect.complained = Some(now);
                Ruling::Complain
            }
        };
        (ruling, is_new)
    }

    fn bar(&mut self, now: Time, router: RouterId) {
        self.barred.retain(|_, until| now < *until);
        if self.barred.len() >= MAX_BARRED {
            let soonest = self.barred.iter().min_by_key(|(_, until)| **until).map(|(router, _)| *router);
            soonest.and_then(|router| self.barred.remove(&router));
        }
        self.barred.insert(router, now + BAR);
    }

    /// Whether a server was found guilty less than an hour ago.
    pub(crate) fn is_barred(&self, now: Time, router: RouterId) -> bool {
        self.barred.get(&router).is_some_and(|until| now < *until)
    }

    /// A neighbour complains. The links to verify all of from now on.
    fn complaint(&mut self, now: Time, link: LinkId, seconds: u32) -> Vec<LinkId> {
        let Some(router) = self.links.get(&link).map(|suspect| suspect.router) else { return Vec::new() };
        self.deaf.retain(|_, until| now < *until);
        if self.deaf.contains_key(&router) || seconds == 0 {
            return Vec::new();
        }
        let until = now + Duration::from_secs(seconds.into()).min(COMPLAINT);
        let before = self.all_until.replace(self.all_until.map_or(until, |other| other.max(until)));
        self.plaintiffs.insert(router);
        if before.is_some() {
            return Vec::new();
        }
        self.found = false;
        let unchecked = self.links.iter().filter(|(_, suspect)| suspect.check_until.is_none());
        unchecked.map(|(link, _)| *link).collect()
    }

    /// Ends what has had its time: the links of which one in sixteen is verified again.
    fn expire(&mut self, now: Time) -> Vec<LinkId> {
        let mut eased = Vec::new();
        for (link, suspect) in &mut self.links {
            if suspect.check_until.is_some_and(|until| until <= now) {
                suspect.check_until = None;
                eased.push(*link);
            }
        }
        if self.all_until.is_some_and(|until| until <= now) {
            self.all_until = None;
            let plaintiffs = std::mem::take(&mut self.plaintiffs);
            if !self.found {
                self.deaf.extend(plaintiffs.into_iter().map(|router| (router, now + DEAF)));
            }
            let calm = |(_, suspect): &(&LinkId, &Suspect)| suspect.check_until.is_none();
            return self.links.iter().filter(calm).map(|(link, _)| *link).collect();
        }
        if self.all_until.is_some() { Vec::new() } else { eased }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.links.values().filter_map(|suspect| suspect.check_until).chain(self.all_until).min()
    }
}

impl Node {
    /// Begins to verify posts from a server.
    pub(crate) fn begin_checks(&mut self, link: LinkId, router: RouterId) {
        let every = self.blame.up(link, router);
        self.cx.out.push_back(Output::Check { links: vec![link], every });
    }

    pub(crate) fn end_checks(&mut self, link: LinkId) {
        self.blame.down(link);
    }

    /// A server brought a post that its author did not sign.
    pub(crate) fn forged(&mut self, link: LinkId) {
        self.cx.stats.forged += 1;
        self.cx.refused(link, Code::BadSignature);
        let (ruling, is_new) = self.blame.forged(self.cx.now, link);
        if is_new {
            self.cx.out.push_back(Output::Check { links: vec![link], every: 1 });
        }
        match ruling {
            Ruling::Wait => {}
            Ruling::Complain => {
                self.cx.stats.complaints_made += 1;
                let seconds = u32::try_from(COMPLAINT.as_secs()).unwrap_or(u32::MAX);
                self.send(link, &Frame::from(Kind::Complaint { seconds }));
            }
            Ruling::Guilty => self.convict(link),
        }
    }

    /// A server goes on with forged posts: its link ends, and it stays away unless the operator named it.
    fn convict(&mut self, link: LinkId) {
        let Some(server) = self.peers.get(link).map(|peer| peer.server) else { return };
        if self.peers.pinned_at(link).is_none() {
            self.blame.bar(self.cx.now, server.router());
        }
        self.cx.event(Event::Forger { link, peer: server });
        self.close(link, Code::BadSignature);
    }

    /// A neighbour found forged posts among what we passed on.
    pub(crate) fn complaint(&mut self, link: LinkId, seconds: u32) {
        self.cx.stats.complaints_heard += 1;
        let links = self.blame.complaint(self.cx.now, link, seconds);
        if !links.is_empty() {
            self.cx.out.push_back(Output::Check { links, every: 1 });
        }
    }

    pub(crate) fn ease_checks(&mut self) {
        let links = self.blame.expire(self.cx.now);
        if !links.is_empty() {
            self.cx.out.push_back(Output::Check { links, every: CHECK_EVERY });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(1);
    const ROUTER: RouterId = RouterId(7);

    fn at(secs: u64) -> Time {
        Time::from_millis(secs * 1_000)
    }

    #[test]
    fn one_who_goes_on_after_a_complaint_is_guilty_and_one_who_stops_is_not() {
        let mut blame = Blame::default();
        assert_eq!(blame.up(LINK, ROUTER), 16);
        assert_eq!(blame.forged(at(0), LINK), (Ruling::Complain, true));
        assert_eq!(blame.forged(at(29), LINK), (Ruling::Wait, false));
        assert_eq!(blame.forged(at(61), LINK), (Ruling::Complain, false), "the first complaint is over");
        assert_eq!(blame.forged(at(92), LINK), (Ruling::Guilty, false));
    }

    #[test]
    fn a_complaint_makes_all_links_be_verified_for_a_minute_at_most() {
        let mut blame = Blame::default();
        blame.up(LINK, ROUTER);
        blame.up(LinkId(2), RouterId(8));
        assert_eq!(blame.complaint(at(0), LINK, u32::MAX), [LINK, LinkId(2)]);
        assert_eq!(blame.up(LinkId(3), RouterId(9)), 1, "a new link too");
        assert_eq!(blame.forged(at(10), LinkId(2)), (Ruling::Complain, false));
        assert_eq!(blame.deadline(), Some(at(60)));
        assert_eq!(blame.expire(at(60)), [LINK, LinkId(3)]);
        assert_eq!(blame.expire(at(70)), [LinkId(2)]);
        assert_eq!(blame.complaint(at(80), LINK, 5).len(), 3, "it was right, so it is heard again");
        assert_eq!(blame.deadline(), Some(at(85)));
    }

    #[test]
    fn who_complains_in_vain_is_not_heard_for_ten_minutes() {
        let mut blame = Blame::default();
        blame.up(LINK, ROUTER);
        assert_eq!(blame.complaint(at(0), LINK, 60), [LINK]);
        assert_eq!(blame.expire(at(60)), [LINK]);
        assert_eq!(blame.complaint(at(61), LINK, 60), []);
        blame.down(LINK);
        blame.up(LinkId(2), ROUTER);
        assert_eq!(blame.complaint(at(62), LinkId(2), 60), [], "nor on another link");
        assert_eq!(blame.complaint(at(661), LinkId(2), 60), [LinkId(2)]);
    }

    #[test]
    fn a_bar_lasts_an_hour_and_the_barred_are_bounded() {
        let mut blame = Blame::default();
        blame.bar(at(0), ROUTER);
        assert!(blame.is_barred(at(3_599), ROUTER) && !blame.is_barred(at(3_600), ROUTER));
        for number in 0..5_000 {
            blame.bar(at(number / 100), RouterId(number));
            assert!(blame.barred.len() <= MAX_BARRED && blame.is_barred(at(number / 100), RouterId(number)));
        }
    }
}
