//! Frames on their way to the driver: at most a window of them is out of our hands. Source: `docs/protocol.md`,
//! section 11.4.

use bytes::{Bytes, BytesMut};
use darkchat_proto::Frame;
use std::collections::VecDeque;

/// Bytes out with the driver and not yet flushed (LINK_WINDOW of a client), or one frame.
const LINK_WINDOW: usize = 64 << 10;
/// Replies that the server can make us queue, such as `UNSUPPORTED`. More are left out: nobody waits for them.
const REPLIES: usize = 16;

/// Frames of one link. Control goes before posts.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Frames of a lost link, which go before all others: the server lacks them.
    again: VecDeque<Bytes>,
    /// Each with whether it counts in the session (5.4).
    control: VecDeque<(Bytes, bool)>,
    posts: VecDeque<Bytes>,
    /// Of the frames in `control`, those that the server made us queue.
    replies: usize,
    out: usize,
    /// The link is lost, and another one may go on with what waits.
    is_held: bool,
}

/// A frame for the driver.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub bytes: Bytes,
    /// Whether it counts in the session (5.4).
    pub counts: bool,
}

impl Outbox {
    /// Queues a frame of our own wish: at most one a request, so their number is bounded.
    pub(super) fn push(&mut self, frame: &Frame) -> usize {
        let bytes = encode(frame);
        let len = bytes.len();
        self.control.push_back((bytes, frame.kind.counts_from_client()));
        len
    }

    /// Queues a post.
    pub(super) fn push_post(&mut self, frame: &Frame) {
        self.posts.push_back(encode(frame));
    }

    /// Queues a reply to something that nobody asked of us, if there is room.
    pub(super) fn reply(&mut self, frame: &Frame) {
        if self.replies < REPLIES {
            self.replies += 1;
            self.push(frame);
        }
    }

    /// The next frame, if the window has room for it.
    pub(super) fn next(&mut self) -> Option<Leaving> {
        let control = self.control.front().map(|(frame, _)| frame);
        let len = self.again.front().or(control).or_else(|| self.posts.front())?.len();
        if self.is_held || (self.out > 0 && self.out.saturating_add(len) > LINK_WINDOW) {
            return None;
        }
        self.out = self.out.saturating_add(len);
        if let Some(bytes) = self.again.pop_front() {
            return Some(Leaving { bytes, counts: true });
        }
        if let Some((bytes, counts)) = self.control.pop_front() {
            if self.control.is_empty() {
                self.replies = 0;
            }
            return Some(Leaving { bytes, counts });
        }
        self.posts.pop_front().map(|bytes| Leaving { bytes, counts: true })
    }

    /// The link is lost: what waits goes with the next one. What the lost one asked of us nobody wants any more.
    pub(super) fn hold(&mut self) {
        self.is_held = true;
        self.out = 0;
        self.control.retain(|(_, counts)| *counts);
        self.replies = 0;
    }

    /// Another link goes on, first with these frames.
    pub(super) fn go_on(&mut self, again: Vec<Bytes>) {
        // What was to go again and has not gone stands behind what had gone.
        let rest = std::mem::replace(&mut self.again, again.into());
        self.again.extend(rest);
        self.is_held = false;
    }

    /// Bytes that left for the network.
    pub(super) const fn flushed(&mut self, bytes: usize) {
        self.out = self.out.saturating_sub(bytes);
    }

    /// Whether all is flushed.
    pub(super) fn is_empty(&self) -> bool {
        self.again.is_empty() && self.control.is_empty() && self.posts.is_empty() && self.out == 0
    }

    /// Forgets all: the link is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn encode(frame: &Frame) -> Bytes {
    let (head, body) = frame.encode_split();
    if body.is_empty() {
        return head;
    }
    let mut bytes = BytesMut::with_capacity(head.len().saturating_add(body.len()));
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&body);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::Kind;

    fn post(len: usize) -> Frame {
        Kind::Publish { deliver: vec![0; len].into() }.into()
    }

    fn ping() -> Frame {
        Kind::Ping { nonce: 7, acked: 0 }.into()
    }

    #[test]
    fn at_most_a_window_or_one_frame_is_out_and_flushing_lets_the_next_go() {
        let mut outbox = Outbox::default();
        for len in [70_000, 40_000, 20_000, 20_000] {
            outbox.push_post(&post(len));
        }
        let large = outbox.next().unwrap();
        let large = large.bytes;
        assert!(large.len() > 70_000 && outbox.next().is_none());
        outbox.flushed(large.len());
        assert!(outbox.next().is_some() && outbox.next().is_some());
        assert!(outbox.next().is_none(), "80,000 bytes would be out");
    }

    #[test]
    fn control_overtakes_posts() {
        let mut outbox = Outbox::default();
        outbox.push_post(&post(10));
        outbox.push(&ping());
        assert_eq!(outbox.next(), Some(Leaving { bytes: encode(&ping()), counts: false }));
    }

    #[test]
    fn a_server_makes_us_queue_sixteen_replies_at_most() {
        let mut outbox = Outbox::default();
        for _ in 0..1_000 {
            outbox.reply(&ping());
        }
        assert_eq!(outbox.control.len(), REPLIES);
        while outbox.next().is_some() {}
        outbox.reply(&ping());
        assert_eq!(outbox.control.len(), 1);
    }
}
