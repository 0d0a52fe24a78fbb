//! What all concerns of the node share: the time, the counters, the outputs and the randomness.

use crate::queue::Item;
use crate::reroute::route_of;
use crate::rng::Rng;
use crate::{Event, Frames, LinkId, Output, SendClass, Stats};
use darkchat_proto::{Class, Code, Route, RouterId, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// The packets cut by one input that are answered; who sent the others is told when nobody said anything in time.
const CUT_ANSWERED: usize = 1_024;

/// Answers to who sends, behind which frames for others still find the ones before them: as many as come in one turn.
const ANSWERS: usize = 64;

/// Passed to whoever acts on an input.
#[derive(Debug)]
pub(crate) struct Context {
    /// When the input at hand happened; never goes back.
    pub(crate) now: Time,
    /// What is to be done.
    pub(crate) out: VecDeque<Output>,
    /// What was counted.
    pub(crate) stats: Stats,
    /// The only randomness.
    pub(crate) rng: Rng,
    /// The packets for which there was no room: the servers where they began, and their numbers there.
    pub(crate) cut: Vec<(RouterId, u64)>,
    /// The last wall clock and when it was told.
    wall: Option<(Time, u64)>,
}

impl Context {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            now: Time::ZERO,
            out: VecDeque::new(),
            stats: Stats::default(),
            rng: Rng::new(seed),
            cut: Vec::new(),
            wall: None,
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    /// Has frames of one source sent. They join those that were to go to the same links before, if nothing came since but
    /// answers to that source, and none of the frames is for it: so every link gets all in their order.
    pub(crate) fn send(&mut self, links: &Arc<[LinkId]>, source: LinkId, class: SendClass, frames: &Frames) {
        let passes = !links.contains(&source);
        for output in self.out.iter_mut().rev().take(ANSWERS) {
            let Output::Send { links: others, frames: before, class: of } = output else { break };
            if Arc::ptr_eq(others, links) || others == links {
                if *of == class && before.append(frames) {
                    return;
                }
                break;
            }
            if !passes || **others != [source] {
                break;
            }
        }
        self.out.push_back(Output::Send { links: links.clone(), frames: frames.clone(), class });
    }

    /// There is no room for a frame. If it is a packet, and somebody wants to know, that is said when the input is dealt with.
    #[cold]
    pub(crate) fn note_cut(&mut self, item: &Item) {
        if item.class != SendClass::Direct || !item.is_route() || self.cut.len() >= CUT_ANSWERED {
            return;
        }
        if let Some(Route { head, .. }) = route_of(item)
            && head.class == Class::Dm
            && head.corr != 0
        {
            self.cut.push((head.origin, head.corr));
        }
    }

    pub(crate) fn refused(&mut self, link: LinkId, code: Code) {
        self.event(Event::Refused { link, code });
    }

    pub(crate) const fn set_wall(&mut self, unix_ms: u64) {
        self.wall = Some((self.now, unix_ms));
    }

    /// The wall clock in Unix milliseconds; `None` before the first one was told.
    pub(crate) fn wall_ms(&self) -> Option<u64> {
        let (told, unix_ms) = self.wall?;
        let passed = u64::try_from(self.now.saturating_since(told).as_millis()).unwrap_or(u64::MAX);
        Some(unix_ms.saturating_add(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Batches;
    use bytes::Bytes;

    const PUBLISHER: LinkId = LinkId(9);

    /// How many frames each output has, and for how many links.
    fn outputs(cx: &Context) -> Vec<(usize, usize)> {
        let size = |output: &Output| match output {
            Output::Send { links, frames, .. } => (frames.count(), links.len()),
            _ => (0, 0),
        };
        cx.out.iter().map(size).collect()
    }

    fn links(of: &[u64]) -> Arc<[LinkId]> {
        of.iter().copied().map(LinkId).collect()
    }

    fn frame() -> Item {
        Item::control(Bytes::new(), Bytes::from_static(b"frame"))
    }

    /// Publishes so many posts, each answered.
    fn publish(cx: &mut Context, batches: &mut Batches, members: &Arc<[LinkId]>, posts: usize) {
        for _ in 0..posts {
            let post = batches.add(members, frame());
            cx.send(members, PUBLISHER, SendClass::Channel, &post);
            cx.send(&links(&[PUBLISHER.0]), PUBLISHER, SendClass::Control, &Frames::one(frame()));
        }
    }

    #[test]
    fn posts_for_the_same_members_leave_together_past_the_answers_to_their_publisher() {
        let (mut cx, mut batches, members) = (Context::new([1; 32]), Batches::default(), links(&[1, 2, 3]));
        publish(&mut cx, &mut batches, &members, 7);
        let posts: Vec<_> = outputs(&cx).into_iter().filter(|(_, links)| *links == 3).collect();
        assert_eq!(posts, [(1, 3), (2, 3), (4, 3)], "as batches grow");
        assert_eq!(outputs(&cx).len(), 10);
    }

    /// Two frames that can leave together.
    fn pair() -> [Frames; 2] {
        let mut both = Frames::from_iter([(); 2].map(|()| (Bytes::new(), Bytes::from_static(b"frame"))));
        let first = both.split_first();
        [first.unwrap(), both]
    }

    /// What becomes of two posts for these members, with a frame of that class for those between them.
    fn around(members: &[u64], class: SendClass, between: &[u64]) -> Vec<(usize, usize)> {
        let (mut cx, members, [first, second]) = (Context::new([1; 32]), links(members), pair());
        cx.send(&members, PUBLISHER, SendClass::Channel, &first);
        cx.send(&links(between), PUBLISHER, class, &Frames::one(frame()));
        cx.send(&members, PUBLISHER, SendClass::Channel, &second);
        outputs(&cx)
    }

    #[test]
    fn nothing_overtakes_what_one_of_its_links_was_to_get_before() {
        let answer = [PUBLISHER.0];
        assert_eq!(around(&[1, 2], SendClass::Control, &answer), [(2, 2), (1, 1)], "an answer");
        assert_eq!(
            around(&[1, 2, 9], SendClass::Control, &answer),
            [(1, 3), (1, 1), (1, 3)],
            "it is a member"
        );
        assert_eq!(around(&[1, 2], SendClass::Control, &[2]), [(1, 2), (1, 1), (1, 2)], "for another member");
        assert_eq!(around(&answer, SendClass::Control, &answer), [(1, 1); 3], "of another class");
        let (mut cx, members, [first, second]) = (Context::new([1; 32]), links(&[1]), pair());
        cx.send(&members, PUBLISHER, SendClass::Channel, &first);
        cx.refused(LinkId(1), Code::Limit);
        cx.send(&members, PUBLISHER, SendClass::Channel, &second);
        assert_eq!(outputs(&cx), [(1, 1), (0, 0), (1, 1)], "something that is not sent");
    }

    #[test]
    fn answers_are_looked_past_up_to_a_bound() {
        let (mut cx, members, [first, second]) = (Context::new([1; 32]), links(&[1, 2]), pair());
        cx.send(&members, PUBLISHER, SendClass::Channel, &first);
        for _ in 0..ANSWERS {
            cx.send(&links(&[PUBLISHER.0]), PUBLISHER, SendClass::Control, &Frames::one(frame()));
        }
        cx.send(&members, PUBLISHER, SendClass::Channel, &second);
        assert_eq!(outputs(&cx).last(), Some(&(1, 2)));
    }
}
