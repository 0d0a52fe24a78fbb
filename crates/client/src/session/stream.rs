//! One stream of our own: entries gather, leave as posts, and are answered. Source: `docs/protocol.md`, section 6.1.

use super::{SignId, Ticket};
use crate::message::header_bytes;
use bytes::Bytes;
use darkchat_crypto::group::Draft;
use darkchat_proto::limits::{MAX_DELIVER, MAX_ENTRIES, MAX_POST_HEADERS, SEALED_ENTRY};
use darkchat_proto::{
    ChannelId, Content, Deliver, Entry, Post, PostId, Signature, Signed, Time, UserId, UserName, pad,
};
use std::collections::VecDeque;

/// Content that makes a gathering post leave, in bytes (COALESCE content).
const COALESCE_BYTES: usize = 16 << 10;
/// Posts of one stream without an answer; then entries wait (COALESCE_UNACKED).
const COALESCE_UNACKED: usize = 16;
/// What a `Deliver` holds beside its entries, in bytes, rounded up: keys, numbers, name and signature are about 260.
const AROUND: usize = 320;
/// The most plaintext of a sealed post, in bytes: as much as its padding leaves room for in a `Deliver`.
const MAX_SEALED: usize = MAX_DELIVER / 4_096 * 4_096 - 1;
/// What an entry holds beside content, type and headers, in bytes, rounded up: kind, reference and lengths.
const AROUND_ENTRY: usize = 48;
/// What a header holds beside name and value, in bytes, rounded up.
const AROUND_HEADER: usize = 12;

/// An entry that waits for its post.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Whose wish it is; `None` for our own announcements.
    pub ticket: Option<Ticket>,
    pub entry: Entry,
    pub since: Time,
}

/// A post without an answer.
#[derive(Debug)]
pub(super) struct OwnPost {
    pub id: PostId,
    /// The wish behind each entry.
    pub tickets: Vec<Option<Ticket>>,
    /// The content of its entries, in bytes.
    pub content: usize,
    pub since: Time,
    /// Which signature it waits for; `None` once it has one.
    sign: Option<SignId>,
    body: Bytes,
    /// What is sealed once it is signed, in a private channel; `body` is empty then.
    draft: Option<Draft>,
    /// The encoded `Deliver`; the same bytes each time it is sent.
    deliver: Bytes,
    /// Under which number it was asked; `None` while it is not out.
    req: Option<u32>,
    /// How often it was sent.
    pub times: u32,
}

/// Our stream in one channel.
#[derive(Debug)]
pub(super) struct OwnStream {
    channel: ChannelId,
    /// Whether it is a generation of a private channel, whose posts are sealed.
    is_sealed: bool,
    pub number: u64,
    next_seq: u64,
    pub name: UserName,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// In the order of their numbers.
    posts: VecDeque<OwnPost>,
    /// After a refusal for the rate: when to send again, from the first refused post on.
    hold_until: Option<Time>,
    /// Whether the channel is joined on a link that is up.
    pub open: bool,
}

/// What the budgets are asked for a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// Entries; of a sealed post, KiB begun (10.1).
    pub entries: usize,
    /// About as many bytes as its frame will have.
    pub bytes: usize,
}

/// Entries that become a post.
#[derive(Debug)]
pub(super) struct Taken {
    pub entries: Vec<Entry>,
    tickets: Vec<Option<Ticket>>,
    since: Time,
    content: usize,
}

impl Taken {
    /// The wishes that will not be carried out, and what they counted.
    pub(super) fn give_up(self) -> Expired {
        let mut expired = Expired::default();
        expired.add(self.tickets.len(), self.content);
        expired.tickets.extend(self.tickets.into_iter().flatten());
        expired
    }
}

impl OwnStream {
    pub(super) const fn new(channel: ChannelId, number: u64, name: UserName) -> Self {
        Self {
            channel,
            is_sealed: false,
            number,
            next_seq: 1,
            name,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            posts: VecDeque::new(),
            hold_until: None,
            open: false,
        }
    }

    /// A stream of sealed posts. Its numbers come from the channel's writer.
    pub(super) fn sealed(channel: ChannelId, name: UserName) -> Self {
        Self { is_sealed: true, ..Self::new(channel, 0, name) }
    }

    pub(super) const fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Takes out what waits, for the stream of the next generation.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Waiting> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Queues an entry behind the others.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting_bytes += waiting.entry.content.len();
        self.waiting.push_back(waiting);
    }

    /// Whether nothing waits and nothing is unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.posts.is_empty()
    }

    /// How many entries the next post would have and how large its frame would be; `None` while they gather or the
    /// stream may not send (rules 1 to 4).
    pub(super) fn ready(&self, max_payload: usize) -> Option<(usize, Cost)> {
        let repeats = self.posts.iter().any(|post| post.times > 0 && post.req.is_none());
        if !self.open || repeats || self.posts.len() >= COALESCE_UNACKED {
            return None;
        }
        let (entries, bytes, full) = self.measure(max_payload);
        let cost = if self.is_sealed { sealed_cost(pad::padded_len(bytes)) } else { Cost { entries, bytes } };
        (entries > 0 && (full || self.posts.is_empty())).then_some((entries, cost))
    }

    /// The waiting entries that one post takes: their number, its size, and whether it is full.
    fn measure(&self, max_payload: usize) -> (usize, usize, bool) {
        let max_content = COALESCE_BYTES.min(max_payload);
        let max_bytes = if self.is_sealed { MAX_SEALED } else { MAX_DELIVER };
        let (mut count, mut content, mut headers, mut bytes) = (0, 0, 0, AROUND);
        for waiting in &self.waiting {
            let entry = &waiting.entry;
            let (next_content, next_bytes) = (content + entry.content.len(), bytes + size(entry));
            let next_headers = headers + entry.headers.len();
            let fits =
                next_content <= max_content && next_bytes <= max_bytes && next_headers <= MAX_POST_HEADERS;
            if count > 0 && (!fits || count == MAX_ENTRIES) {
                return (count, bytes, true);
            }
            (count, content, headers, bytes) = (count + 1, next_content, next_headers, next_bytes);
        }
        (count, bytes, count == MAX_ENTRIES || content >= max_content)
    }

    /// Takes the first `entries` waiting entries out, for a post.
    pub(super) fn take(&mut self, now: Time, entries: usize) -> Taken {
        let taken: Vec<Waiting> = self.waiting.drain(..entries.min(self.waiting.len())).collect();
        let content = taken.iter().map(|waiting| waiting.entry.content.len()).sum();
        self.waiting_bytes -= content;
        Taken {
            tickets: taken.iter().map(|waiting| waiting.ticket).collect(),
            since: taken.first().map_or(now, |waiting| waiting.since),
            entries: taken.into_iter().map(|waiting| waiting.entry).collect(),
            content,
        }
    }

    /// Makes a public post; its body is then to be signed.
    pub(super) fn cut(&mut self, wall_ms: u64, author: UserId, taken: Taken, sign: SignId) -> (Bytes, Cost) {
        let Taken { entries, tickets, since, content } = taken;
        let post = Post {
            author,
            channel: self.channel,
            stream: self.number,
            seq: self.next_seq,
            time_ms: wall_ms,
            name: self.name.as_str().to_owned(),
            entries,
        };
        self.next_seq = post.next_seq();
        let body = post.encode();
        let cost = Cost { entries: post.entries.len(), bytes: body.len() + AROUND };
        let (id, body_to_sign) = (PostId::of_body(&body), body.clone());
        self.hold(OwnPost { sign: Some(sign), body, ..OwnPost::new(id, tickets, content, since) });
        (body_to_sign, cost)
    }

    /// Takes a sealed post, whose draft is then to be signed.
    pub(super) fn draft(&mut self, draft: Draft, taken: Taken, sign: SignId) {
        let Taken { entries: _, tickets, since, content } = taken;
        self.number = draft.head().stream;
        let id = draft.id();
        self.hold(OwnPost {
            sign: Some(sign),
            draft: Some(draft),
            ..OwnPost::new(id, tickets, content, since)
        });
    }

    fn hold(&mut self, post: OwnPost) {
        self.posts.push_back(post);
    }

    /// Takes a signature. `false` if no post waits for it.
    pub(super) fn signed(&mut self, sign: SignId, sig: Signature) -> bool {
        let Some(post) = self.posts.iter_mut().find(|post| post.sign == Some(sign)) else { return false };
        let content = match post.draft.take() {
            None => Content::Public(Signed { body: std::mem::take(&mut post.body), sig }),
            Some(draft) => match draft.finish(sig) {
                Ok(sealed) => Content::Sealed(sealed),
                // The writer has ruled it out; the post then waits until it is given up.
                Err(_) => return false,
            },
        };
        post.deliver = Deliver { channel: self.channel, content }.encode();
        post.sign = None;
        true
    }

    /// The next post that may be sent, as the bytes to publish, what it costs, and whether it is a repeat:
    /// in order, and after a refusal only when every later post has its answer too, so that nothing overtakes the repeat (5.2).
    pub(super) fn sendable(&self) -> Option<(Bytes, Cost, bool)> {
        if !self.open || self.hold_until.is_some() {
            return None;
        }
        let at = self.posts.iter().position(|post| post.req.is_none())?;
        let post = self.posts.get(at)?;
        let later_out = self.posts.iter().skip(at).any(|post| post.req.is_some());
        let bytes = post.deliver.len();
        let cost =
            if self.is_sealed { sealed_cost(bytes) } else { Cost { entries: post.tickets.len(), bytes } };
        (post.sign.is_none() && !later_out).then(|| (post.deliver.clone(), cost, post.times > 0))
    }

    /// The post of [`sendable`](Self::sendable) leaves under this number.
    pub(super) fn sent(&mut self, req: u32) {
        if let Some(post) = self.posts.iter_mut().find(|post| post.req.is_none()) {
            post.times = post.times.saturating_add(1);
            post.req = Some(req);
        }
    }

    /// Takes the post that was asked under this number out: it has its answer.
    pub(super) fn answered(&mut self, req: u32) -> Option<OwnPost> {
        let at = self.posts.iter().position(|post| post.req == Some(req))?;
        self.posts.remove(at)
    }

    /// The server had no room for the post of this number: the same bytes go again at `until`.
    pub(super) fn refused(&mut self, req: u32, until: Time) {
        if let Some(post) = self.posts.iter_mut().find(|post| post.req == Some(req)) {
            post.req = None;
            self.hold_until = Some(self.hold_until.map_or(until, |other| other.max(until)));
        }
    }

    /// What is out may go again.
    pub(super) fn go_again(&mut self) {
        for post in self.posts.iter_mut().filter(|post| post.req.is_some()) {
            post.times = post.times.saturating_add(1);
        }
    }

    /// The link is gone: what has no answer goes again, in order, when the channel is joined anew.
    pub(super) fn close(&mut self) {
        self.open = false;
        self.hold_until = None;
        for post in &mut self.posts {
            post.req = None;
        }
    }

    /// Takes out the tickets of what has waited since before `since`, and how many entries and bytes went.
    pub(super) fn expire(&mut self, since: Time) -> Expired {
        let mut expired = Expired::default();
        while let Some(post) = self.posts.pop_front_if(|post| post.since <= since) {
            expired.add(post.tickets.len(), post.content);
            expired.tickets.extend(post.tickets.into_iter().flatten());
        }
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.since <= since) {
            self.waiting_bytes -= waiting.entry.content.len();
            expired.add(1, waiting.entry.content.len());
            expired.tickets.extend(waiting.ticket);
        }
        expired
    }

    /// When the oldest entry began to wait.
    pub(super) fn oldest(&self) -> Option<Time> {
        let post = self.posts.front().map(|post| post.since);
        let waiting = self.waiting.front().map(|waiting| waiting.since);
        post.into_iter().chain(waiting).min()
    }

    /// Ends a hold whose time is over.
    pub(super) fn wake(&mut self, now: Time) {
        self.hold_until = self.hold_until.filter(|until| *until > now);
    }

    /// When posts may be sent again after a refusal.
    pub(super) const fn hold_until(&self) -> Option<Time> {
        self.hold_until
    }
}

impl OwnPost {
    const fn new(id: PostId, tickets: Vec<Option<Ticket>>, content: usize, since: Time) -> Self {
        Self {
            id,
            tickets,
            content,
            since,
            sign: None,
            body: Bytes::new(),
            draft: None,
            deliver: Bytes::new(),
            req: None,
            times: 0,
        }
    }
}

/// What a sealed post of so many bytes costs: one entry for each KiB begun.
const fn sealed_cost(bytes: usize) -> Cost {
    Cost { entries: bytes.div_ceil(SEALED_ENTRY), bytes: bytes + AROUND }
}

/// What went without an answer.
#[derive(Debug, Default)]
pub(super) struct Expired {
    pub tickets: Vec<Ticket>,
    pub entries: usize,
    pub bytes: usize,
}

impl Expired {
    const fn add(&mut self, entries: usize, bytes: usize) {
        self.entries += entries;
        self.bytes += bytes;
    }
}

/// About as many bytes as an entry takes in a `Deliver`; never less.
fn size(entry: &Entry) -> usize {
    let headers = header_bytes(&entry.headers) + entry.headers.len() * AROUND_HEADER;
    AROUND_ENTRY + entry.content.len() + entry.content_type.len() + headers
}

#[cfg(test)]
mod tests;
