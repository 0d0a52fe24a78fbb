//! What is out with the driver of one link, until it has left. Source: `docs/protocol.md`, section 11.4.

use crate::queue::Owed;
use darkchat_proto::Time;
use std::collections::VecDeque;

/// Frames that are out with the driver: several of the same length that went out at the same time, or one.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) at: Time,
    /// The length of each, in bytes.
    pub(super) bytes: usize,
    /// How many there are.
    pub(super) frames: usize,
    /// What each is, if nobody has to count it; else that is known when the neighbour has counted it.
    pub(super) owed: Owed,
    pub(super) is_route: bool,
}

/// All that is out with the driver, in its order.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) runs: VecDeque<Sent>,
    pub(super) frames: usize,
    pub(super) bytes: usize,
    /// What has left of the first frame, in bytes.
    begun: usize,
}

impl Out {
    /// Adds a frame.
    pub(super) fn push(&mut self, sent: Sent) {
        self.frames = self.frames.saturating_add(1);
        self.bytes = self.bytes.saturating_add(sent.bytes);
        if let Some(last) = self.runs.back_mut()
            && (last.at, last.bytes, last.owed) == (sent.at, sent.bytes, sent.owed)
            && !(last.is_route || sent.is_route)
        {
            last.frames = last.frames.saturating_add(1);
        } else {
            self.runs.push_back(sent);
        }
    }

    /// So many bytes have left. Tells of each frame that left whole: what it is, whether it is a route, and how many
    /// such there are.
    pub(super) fn flush(&mut self, bytes: usize, mut left: impl FnMut(Owed, bool, usize)) {
        let bytes = bytes.min(self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.begun = self.begun.saturating_add(bytes);
        while let Some(sent) = self.runs.front_mut() {
            let whole =
                self.begun.checked_div(sent.bytes).map_or(sent.frames, |whole| whole.min(sent.frames));
            self.begun = self.begun.saturating_sub(whole.saturating_mul(sent.bytes));
            self.frames = self.frames.saturating_sub(whole);
            sent.frames = sent.frames.saturating_sub(whole);
            if whole > 0 {
                left(sent.owed, sent.is_route, whole);
            }
            if sent.frames > 0 {
                return;
            }
            self.runs.pop_front();
        }
        // An idle link holds no list.
        self.runs = VecDeque::new();
    }

    /// The copies among them.
    pub(super) fn copies(&self) -> u64 {
        let copies =
            |sent: &Sent| sent.owed.copies().saturating_mul(u64::try_from(sent.frames).unwrap_or(u64::MAX));
        self.runs.iter().map(copies).sum()
    }

    pub(super) fn oldest(&self) -> Option<Time> {
        self.runs.front().map(|sent| sent.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_whole_whatever_part_of_their_bytes_is_told() {
        let sent =
            |at, bytes, owed, is_route| Sent { at: Time::from_millis(at), bytes, frames: 1, owed, is_route };
        let mut out = Out::default();
        for _ in 0..3 {
            out.push(sent(1, 10, Owed::Session, false));
        }
        out.push(sent(1, 20, Owed::Session, false));
        out.push(sent(2, 20, Owed::Nothing, false));
        out.push(sent(2, 20, Owed::Nothing, true));
        out.push(sent(2, 20, Owed::Nothing, true));
        assert_eq!((out.runs.len(), out.frames, out.bytes, out.copies()), (5, 7, 110, 4));
        let mut left = |bytes| {
            let mut left = Vec::new();
            out.flush(bytes, |owed, is_route, frames| left.push((owed, is_route, frames)));
            (left, out.frames, out.bytes, out.oldest())
        };
        let (first, second) = (Some(Time::from_millis(1)), Some(Time::from_millis(2)));
        assert_eq!(left(9), (vec![], 7, 101, first));
        assert_eq!(left(16), (vec![(Owed::Session, false, 2)], 5, 85, first));
        let pair = vec![(Owed::Session, false, 1), (Owed::Session, false, 1)];
        assert_eq!(left(25), (pair, 3, 60, second));
        let rest = vec![(Owed::Nothing, false, 1), (Owed::Nothing, true, 1), (Owed::Nothing, true, 1)];
        assert_eq!(left(1_000), (rest, 0, 0, None), "and no more than went out");
        assert_eq!(out.runs.capacity(), 0, "an idle link holds no list");
    }
}
