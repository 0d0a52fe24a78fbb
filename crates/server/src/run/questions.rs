//! Who asked for the way of a channel's posts, until the node knows.

use crate::TraceError;
use darkchat_node::{Trace, TraceId};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Where an asker hears the answer.
type Answer = oneshot::Sender<Result<Trace, TraceError>>;

/// The questions that the node has not answered: as many as it takes at once, because it refuses others at once.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    asked: BTreeMap<TraceId, Answer>,
    next: u64,
}

impl Questions {
    /// Takes a question, to be given to the node under this number.
    pub(crate) fn ask(&mut self, answer: Answer) -> TraceId {
        let trace = TraceId(self.next);
        self.next = self.next.wrapping_add(1);
        self.asked.insert(trace, answer);
        trace
    }

    /// The node knows; who no longer waits is told nothing.
    pub(crate) fn answer(&mut self, trace: TraceId, found: Option<Box<Trace>>) {
        if let Some(answer) = self.asked.remove(&trace) {
            drop(answer.send(found.map(|found| *found).ok_or(TraceError::Busy)));
        }
    }
}
