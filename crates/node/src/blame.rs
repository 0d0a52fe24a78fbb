//! Forged posts, and who is to blame for them. Source: `docs/protocol.md`, sections 6.2 and 11.3.
//!
//! Whoever brought a forged post may have carried it in good faith. So it is asked, by a complaint, to verify what it
//! passes on; what still comes after that is its own.

use crate::{Event, LinkId, Node, Output};
use darkchat_proto::{Code, Frame, Kind, RouterId, Time};
use std::collections::BTreeMap;
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
/// Who complained in vain is not listened to for so long: a complaint costs us work.
const DEAF: Duration = Duration::from_secs(600);
/// The most servers in each list here: far more than there are neighbours, so that it is full of such as come and go.
const MAX_LISTED: usize = 1_024;

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

/// A complaint that is in force.
#[derive(Debug)]
struct Complaint {
    until: Time,
    /// What was found forged before it: it was right if that becomes more.
    found: u64,
}

/// Servers that are treated differently for a while, each until its time; at most [`MAX_LISTED`].
#[derive(Debug, Default)]
struct Terms {
    until: BTreeMap<RouterId, Time>,
}

impl Terms {
    /// Where there are too many, the term that ends soonest ends at once.
    fn begin(&mut self, now: Time, router: RouterId, term: Duration) {
        self.until.retain(|_, until| now < *until);
        if self.until.len() >= MAX_LISTED {
            let soonest = self.until.iter().min_by_key(|(_, until)| **until).map(|(router, _)| *router);
            soonest.and_then(|router| self.until.remove(&router));
        }
        self.until.insert(router, now + term);
    }

    fn has(&self, now: Time, router: RouterId) -> bool {
        self.until.get(&router).is_some_and(|until| now < *until)
    }
}

/// All suspicions, complaints and bars.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    links: BTreeMap<LinkId, Suspect>,
    /// Who complained: while there is one, everything that we pass on is verified. At most [`MAX_LISTED`].
    plaintiffs: BTreeMap<RouterId, Complaint>,
    /// The forged posts that were found.
    found: u64,
    deaf: Terms,
    barred: Terms,
}

impl Blame {
    /// A link is up; how many of its posts are verified.
    fn up(&mut self, link: LinkId, router: RouterId) -> u32 {
        self.links.insert(link, Suspect { router, check_until: None, complained: None });
        if self.plaintiffs.is_empty() { CHECK_EVERY } else { 1 }
    }

    fn down(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// A link brought a forged post. What follows, and whether all from it are verified only from now on.
    fn forged(&mut self, now: Time, link: LinkId) -> (Ruling, bool) {
        self.found = self.found.saturating_add(1);
        let Some(suspect) = self.links.get_mut(&link) else { return (Ruling::Wait, false) };
        let is_new = suspect.check_until.replace(now + CHECK_ALL).is_none() && self.plaintiffs.is_empty();
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
        self.barred.begin(now, router, BAR);
    }

    /// Whether a server was found guilty less than an hour ago.
    pub(crate) fn is_barred(&self, now: Time, router: RouterId) -> bool {
        self.barred.has(now, router)
    }

    /// A neighbour complains. The links to verify all of from now on.
    ///
    /// One whose complaint is in force may repeat it only if something forged was found since: else who cries on
    /// would never be judged.
    fn complaint(&mut self, now: Time, link: LinkId, seconds: u32) -> Vec<LinkId> {
        let Some(router) = self.links.get(&link).map(|suspect| suspect.router) else { return Vec::new() };
        let is_vain = match self.plaintiffs.get(&router) {
            Some(former) => former.found == self.found,
            None => self.plaintiffs.len() >= MAX_LISTED,
        };
        if is_vain || self.deaf.has(now, router) || seconds == 0 {
            return Vec::new();
        }
        let until = now + Duration::from_secs(seconds.into()).min(COMPLAINT);
        let is_first = self.plaintiffs.is_empty();
        self.plaintiffs.insert(router, Complaint { until, found: self.found });
        if !is_first {
            return Vec::new();
        }
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
        let was_easy = self.plaintiffs.is_empty();
        while let Some((router, found)) = self.end_complaint(now) {
            if found == self.found {
                self.deaf.begin(now, router, DEAF);
            }
        }
        match (was_easy, self.plaintiffs.is_empty()) {
            (true, _) => eased,
            (false, false) => Vec::new(),
            (false, true) => {
                let calm = |(_, suspect): &(&LinkId, &Suspect)| suspect.check_until.is_none();
                self.links.iter().filter(calm).map(|(link, _)| *link).collect()
            }
        }
    }

    /// Takes out a complaint that has had its time: whose, and what had been found before it.
    fn end_complaint(&mut self, now: Time) -> Option<(RouterId, u64)> {
        let over = self.plaintiffs.iter().find(|(_, complaint)| complaint.until <= now);
        let router = over.map(|(router, _)| *router)?;
        self.plaintiffs.remove(&router).map(|complaint| (router, complaint.found))
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let complaints = self.plaintiffs.values().map(|complaint| complaint.until);
        self.links.values().filter_map(|suspect| suspect.check_until).chain(complaints).min()
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
    fn who_repeats_a_complaint_in_vain_is_judged_all_the_same() {
        let mut blame = Blame::default();
        blame.up(LINK, ROUTER);
        assert_eq!(blame.complaint(at(0), LINK, 60), [LINK]);
        assert_eq!(blame.complaint(at(50), LINK, 60), []);
        assert_eq!(blame.expire(at(60)), [LINK], "the repetition keeps nothing in force");
        assert_eq!(blame.complaint(at(61), LINK, 60), [], "and it is not heard");
    }

    #[test]
    fn who_was_right_may_repeat_a_complaint_and_a_liar_beside_it_is_judged_alone() {
        let mut blame = Blame::default();
        let liar = LinkId(2);
        blame.up(LINK, ROUTER);
        blame.up(liar, RouterId(8));
        assert_eq!(blame.complaint(at(0), LINK, 60), [LINK, liar]);
        blame.forged(at(10), LinkId(9));
        assert_eq!(blame.complaint(at(20), liar, 60), []);
        assert_eq!(blame.complaint(at(59), LINK, 60), []);
        assert_eq!(blame.expire(at(80)), [], "one is in force still");
        assert_eq!(blame.deadline(), Some(at(119)));
        assert_eq!(blame.expire(at(119)), [LINK, liar]);
        assert_eq!(blame.complaint(at(120), liar, 60), [], "nothing was found since it complained");
    }

    #[test]
    fn those_who_complain_and_those_who_are_not_heard_are_bounded() {
        let mut blame = Blame::default();
        for number in 0..2_000 {
            blame.up(LINK, RouterId(number));
            blame.complaint(at(0), LINK, 60);
        }
        assert_eq!(blame.plaintiffs.len(), MAX_LISTED);
        blame.expire(at(60));
        assert_eq!((blame.plaintiffs.len(), blame.deaf.until.len()), (0, MAX_LISTED));
        blame.up(LINK, RouterId(2_000));
        assert_eq!(
            blame.complaint(at(61), LINK, 60),
            [LINK],
            "those who come and go keep nobody out for long"
        );
        blame.expire(at(121));
        assert_eq!(blame.deaf.until.len(), MAX_LISTED);
        assert!(blame.deaf.has(at(121), RouterId(2_000)));
    }

    #[test]
    fn a_bar_lasts_an_hour_and_the_barred_are_bounded() {
        let mut blame = Blame::default();
        blame.bar(at(0), ROUTER);
        assert!(blame.is_barred(at(3_599), ROUTER) && !blame.is_barred(at(3_600), ROUTER));
        for number in 0..5_000 {
            blame.bar(at(number / 100), RouterId(number));
            assert!(
                blame.barred.until.len() <= MAX_LISTED && blame.is_barred(at(number / 100), RouterId(number))
            );
        }
    }
}
