//! What waits for a program to read it: bounded, and never in the way of the link.

use crate::message::{Cause, Content, DirectMessage, Message, Missed, Received, header_bytes};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The most content that waits in one channel, in bytes, however few messages it is.
const BYTES: usize = 8 << 20;

/// One channel's messages, or one client's direct ones, between the client's task and the program.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    /// The most messages that wait.
    messages: usize,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<Received<T>>,
    bytes: usize,
    closed: bool,
    /// Who waits, by the number of its reader: each handle that reads is one, so there are no more than the program has.
    wakers: BTreeMap<u64, Waker>,
    /// The reader that came last.
    readers: u64,
}

/// The one who reads a queue that has one handle.
pub(crate) const ONLY_READER: u64 = 0;

impl<T: Length> Queue<T> {
    pub(crate) fn new(messages: usize) -> Self {
        let inner = Inner {
            items: VecDeque::new(),
            bytes: 0,
            closed: false,
            wakers: BTreeMap::new(),
            readers: ONLY_READER,
        };
        Self { inner: Mutex::new(inner), messages: messages.max(1) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message. `false` if there was no room: it is then one of those that are reported as missed.
    pub(crate) fn message(&self, message: T) -> bool {
        let mut inner = self.inner();
        let len = message.length();
        let room = inner.items.len() < self.messages && inner.bytes.saturating_add(len) <= BYTES;
        if room {
            inner.bytes += len;
            inner.items.push_back(Received::Message(message));
        } else {
            inner.fold(Missed { from: None, count: Some(1), cause: Cause::Slow });
        }
        inner.wake();
        room
    }

    /// Queues the news that messages will not come.
    pub(crate) fn missed(&self, missed: Missed) {
        let mut inner = self.inner();
        if inner.items.len() < self.messages {
            inner.items.push_back(Received::Missed(missed));
        } else {
            inner.fold(missed);
        }
        inner.wake();
    }

    /// Nothing more will come; what waits can still be read.
    pub(crate) fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.wake();
    }

    /// Another one who reads: its number. Each item goes to one of them.
    pub(crate) fn enter(&self) -> u64 {
        let mut inner = self.inner();
        inner.readers += 1;
        inner.readers
    }

    /// A reader is gone.
    pub(crate) fn leave(&self, reader: u64) {
        self.inner().wakers.remove(&reader);
    }

    pub(crate) fn poll_next(&self, reader: u64, cx: &mut Context<'_>) -> Poll<Option<Received<T>>> {
        let mut inner = self.inner();
        if let Some(item) = inner.items.pop_front() {
            if let Received::Message(message) = &item {
                inner.bytes -= message.length();
            }
            return Poll::Ready(Some(item));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        inner.wakers.insert(reader, cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Inner<T> {
    /// Adds to the one report that stands behind a full queue.
    fn fold(&mut self, more: Missed) {
        if let Some(Received::Missed(missed)) = self.items.back_mut()
            && missed.cause == Cause::Slow
        {
            missed.from = None;
            missed.count = missed.count.zip(more.count).map(|(one, other)| one.saturating_add(other));
            return;
        }
        let missed = Missed { from: None, count: more.count, cause: Cause::Slow };
        self.items.push_back(Received::Missed(missed));
    }

    /// Wakes all who wait: one that is woken alone may be gone before it takes anything.
    fn wake(&mut self) {
        std::mem::take(&mut self.wakers).into_values().for_each(Waker::wake);
    }
}

/// What a message counts for.
pub(crate) trait Length {
    /// In bytes.
    fn length(&self) -> usize;
}

impl Length for Message {
    fn length(&self) -> usize {
        length(&self.payload, &self.headers)
    }
}

impl Length for DirectMessage {
    fn length(&self) -> usize {
        length(&self.payload, &self.headers)
    }
}

fn length(payload: &Content, headers: &BTreeMap<String, Bytes>) -> usize {
    payload.as_bytes().len() + header_bytes(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::{MessageId, PostId, UserId, UserName};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::UNIX_EPOCH;

    fn message(len: usize) -> Message {
        Message {
            id: MessageId { post: PostId::new([0; 16]), index: 0 },
            channel: "lobby".parse().unwrap(),
            private: false,
            from: UserId::new([1; 32]),
            name: UserName::default(),
            time: UNIX_EPOCH,
            payload: Content::Data(vec![0; len].into()),
            content_type: String::new(),
            headers: BTreeMap::new(),
            reply_to: None,
        }
    }

    fn drain(queue: &Queue<Message>) -> Vec<Received<Message>> {
        let mut cx = Context::from_waker(Waker::noop());
        std::iter::from_fn(|| match queue.poll_next(ONLY_READER, &mut cx) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        })
        .collect()
    }

    #[test]
    fn a_full_queue_turns_into_one_report_of_how_many_were_missed() {
        let queue = Queue::new(10);
        assert_eq!((0..1_000).filter(|_| queue.message(message(1))).count(), 10);
        let items = drain(&queue);
        assert_eq!(items.len(), 11);
        let Received::Missed(missed) = items[10] else { panic!("a report is last") };
        assert_eq!((missed.count, missed.cause), (Some(990), Cause::Slow));
        assert!(queue.message(message(1)), "reading makes room");
    }

    #[test]
    fn large_messages_fill_the_queue_by_their_bytes() {
        let queue = Queue::new(10_000);
        let taken = (0..200).filter(|_| queue.message(message(65_536))).count();
        assert_eq!(taken, 128);
        drain(&queue);
        assert_eq!(queue.inner().bytes, 0);
    }

    #[test]
    fn a_gap_behind_a_full_queue_is_added_and_an_unknown_number_makes_the_sum_unknown() {
        let queue = Queue::new(1);
        queue.message(message(1));
        queue.missed(Missed { from: Some(UserId::new([1; 32])), count: Some(5), cause: Cause::Gap });
        queue.message(message(1));
        let Received::Missed(missed) = drain(&queue)[1] else { panic!("a report") };
        assert_eq!((missed.from, missed.count), (None, Some(6)));
        queue.message(message(1));
        queue.message(message(1));
        queue.missed(Missed { from: None, count: None, cause: Cause::Reconnect });
        let Received::Missed(missed) = drain(&queue)[1] else { panic!("a report") };
        assert_eq!(missed.count, None);
    }

    #[test]
    fn all_who_wait_are_woken_and_a_reader_leaves_nothing_behind() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (queue, woken) = (Queue::<Message>::new(4), Arc::new(Count(AtomicUsize::new(0))));
        let waker = Waker::from(Arc::clone(&woken));
        let readers: Vec<u64> = (0..10).map(|_| queue.enter()).collect();
        for reader in readers.iter().chain(&readers) {
            assert!(queue.poll_next(*reader, &mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(queue.inner().wakers.len(), 10, "one place each, however often it asks");
        readers.iter().take(4).for_each(|reader| queue.leave(*reader));
        queue.close();
        assert_eq!((woken.0.load(Ordering::Relaxed), queue.inner().wakers.len()), (6, 0));
    }

    #[test]
    fn what_waits_can_be_read_after_the_end() {
        let queue = Queue::new(4);
        queue.message(message(1));
        queue.close();
        assert_eq!(drain(&queue).len(), 1);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(queue.poll_next(ONLY_READER, &mut cx), Poll::Ready(None));
    }
}
