//! All streams of our own: whose turn it is, within the server's budgets. Source: `docs/protocol.md`, section 6.1.

use super::budget::Budgets;
use super::outbox::Outbox;
use super::output::{Event, Failure, Output};
use super::private::{PrivateError, Privates};
use super::requests::{Asked, REQUEST_TIMEOUT, Requests};
use super::signs::Signs;
use super::stream::{Cost, Expired, OwnPost, OwnStream, Waiting};
use super::{SignId, Ticket};
use crate::message::header_bytes;
use darkchat_crypto::{SeededRng, sign};
use darkchat_proto::limits::{MAX_CONTENT_TYPE, MAX_HEADER_BYTES, MAX_HEADERS, MAX_PAYLOAD};
use darkchat_proto::{ChannelId, Entry, Frame, Kind, Network, Signature, Time, UserId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// Entries that wait or have no answer yet: ten seconds at the public rate of 200 a second.
pub(super) const QUEUED_ENTRIES: usize = 2_048;
/// Their content, in bytes: what a server's budget takes in eight seconds.
pub(super) const QUEUED_BYTES: usize = 2 << 20;

/// What the streams need of the rest of the session in order to send.
pub(super) struct Way<'a> {
    pub now: Time,
    pub wall_ms: u64,
    pub author: UserId,
    pub network: &'a Network,
    pub private: &'a mut Privates,
    pub secrets: &'a mut SeededRng,
    pub signs: &'a mut Signs,
    pub budgets: &'a mut Budgets,
    pub requests: &'a mut Requests,
    pub outbox: &'a mut Outbox,
    pub outputs: &'a mut VecDeque<Output>,
}

/// Our streams, one a channel.
#[derive(Debug)]
pub(super) struct OwnStreams {
    streams: BTreeMap<ChannelId, OwnStream>,
    /// Those with something that waits or is unanswered.
    busy: BTreeSet<ChannelId>,
    /// Whose turn it was last.
    turn: Option<ChannelId>,
    signs: BTreeMap<SignId, ChannelId>,
    entries: usize,
    bytes: usize,
    /// When the budgets let the next post go, if they stopped one.
    wake: Option<Time>,
    /// The most content of one post, as the server announced it last.
    max_payload: usize,
}

impl Default for OwnStreams {
    fn default() -> Self {
        Self {
            streams: BTreeMap::new(),
            busy: BTreeSet::new(),
            turn: None,
            signs: BTreeMap::new(),
            entries: 0,
            bytes: 0,
            wake: None,
            max_payload: MAX_PAYLOAD,
        }
    }
}

impl OwnStreams {
    /// Takes the announced limit; 0 means that of the protocol.
    pub(super) fn announced(&mut self, max_payload: u32) {
        let lower = usize::try_from(max_payload).ok().filter(|max| (1..MAX_PAYLOAD).contains(max));
        self.max_payload = lower.unwrap_or(MAX_PAYLOAD);
    }

    pub(super) fn insert(&mut self, stream: ChannelId, own: OwnStream) {
        self.streams.insert(stream, own);
    }

    pub(super) fn get_mut(&mut self, channel: &ChannelId) -> Option<&mut OwnStream> {
        self.streams.get_mut(channel)
    }

    pub(super) fn number(&self, channel: &ChannelId) -> Option<u64> {
        self.streams.get(channel).map(|stream| stream.number)
    }

    /// Queues an entry.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be sent or too much waits; nothing was changed.
    pub(super) fn push(&mut self, channel: ChannelId, waiting: Waiting) -> Result<(), Failure> {
        let stream = self.streams.get_mut(&channel).ok_or(Failure::NotJoined)?;
        let len = waiting.entry.content.len();
        if len > self.max_payload {
            return Err(Failure::TooLarge { len, max: self.max_payload });
        }
        check_headers(&waiting.entry)?;
        if self.entries >= QUEUED_ENTRIES || self.bytes.saturating_add(len) > QUEUED_BYTES {
            return Err(Failure::Full);
        }
        self.entries += 1;
        self.bytes += len;
        self.busy.insert(channel);
        stream.push(waiting);
        Ok(())
    }

    /// Cuts, signs and sends whatever may go now, each stream in its turn. Says whether anything went.
    pub(super) fn pump(&mut self, way: &mut Way<'_>) -> bool {
        self.wake = None;
        let (mut idle_turns, mut any) = (0, false);
        while idle_turns < self.busy.len() {
            let Some(channel) = self.next_turn() else { break };
            if self.step(channel, way) {
                (idle_turns, any) = (0, true);
            } else {
                idle_turns += 1;
            }
        }
        any
    }

    fn next_turn(&mut self) -> Option<ChannelId> {
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.busy.range((after, Bound::Unbounded)).next().or_else(|| self.busy.first()).copied();
        self.turn = next;
        next
    }

    /// Sends or cuts one post of a stream. `false` if there is nothing to do for it now.
    fn step(&mut self, channel: ChannelId, way: &mut Way<'_>) -> bool {
        let Some(stream) = self.streams.get_mut(&channel) else { return false };
        stream.wake(way.now);
        if let Some((deliver, cost, again)) = stream.sendable() {
            if !way.requests.has_room() || (again && !affords(&mut self.wake, way, cost)) {
                return false;
            }
            if again {
                way.budgets.take_post(cost.entries, cost.bytes);
            }
            let req = way.requests.ask(way.now, Asked::Publish(channel));
            stream.sent(req);
            way.outbox.push_post(&Frame::asking(req, Kind::Publish { deliver }));
            return true;
        }
        let Some((entries, cost)) = stream.ready(self.max_payload) else { return false };
        if !affords(&mut self.wake, way, cost) {
            return false;
        }
        let sign = way.signs.next();
        let taken = stream.take(way.now, entries);
        let (request, cost) = if stream.is_sealed() {
            let author = (way.author, &stream.name);
            let written =
                way.private.write(&channel, author, taken.entries.clone(), way.wall_ms, way.secrets);
            let Some(Ok(draft)) = written else {
                // Its generation is gone, or so old that no clock reaches it.
                let expired = taken.give_up();
                let why = Failure::Private(PrivateError::TooOld);
                let failed =
                    self.account(expired).into_iter().map(|ticket| Event::SendFailed { ticket, why });
                way.outputs.extend(failed.map(Output::Event));
                self.settle(channel);
                return true;
            };
            let request = draft.request().clone();
            stream.draft(draft, taken, sign);
            (request, cost)
        } else {
            let (body, cost) = stream.cut(way.wall_ms, way.author, taken, sign);
            (sign::post(way.network, &body), cost)
        };
        way.budgets.take_post(cost.entries, cost.bytes);
        self.signs.insert(sign, channel);
        way.outputs.push_back(Output::Sign { sign, request });
        true
    }

    /// Takes a signature. `false` if it is none of a post's.
    pub(super) fn signed(&mut self, id: SignId, signature: Signature) -> bool {
        let Some(channel) = self.signs.remove(&id) else { return false };
        if let Some(stream) = self.streams.get_mut(&channel) {
            stream.signed(id, signature);
        }
        true
    }

    /// What waits in one stream waits in another one from now on, behind what waits there.
    pub(super) fn hand_over(&mut self, from: &ChannelId, to: &ChannelId) {
        if !self.streams.contains_key(to) {
            return;
        }
        let waiting = self.streams.get_mut(from).map(OwnStream::take_waiting).unwrap_or_default();
        if !waiting.is_empty() {
            self.busy.insert(*to);
        }
        if let Some(stream) = self.streams.get_mut(to) {
            waiting.into_iter().for_each(|waiting| stream.push(waiting));
        }
        self.settle(*from);
    }

    /// Takes out the post with this answer.
    pub(super) fn answered(&mut self, channel: &ChannelId, req: u32) -> Option<OwnPost> {
        let post = self.streams.get_mut(channel)?.answered(req)?;
        self.entries -= post.tickets.len();
        self.bytes -= post.content;
        self.settle(*channel);
        Some(post)
    }

    /// Another link goes on: what has no answer may reach the server twice.
    pub(super) fn go_again(&mut self) {
        for stream in self.streams.values_mut() {
            stream.go_again();
        }
    }

    /// The link is gone.
    pub(super) fn close(&mut self) {
        self.wake = None;
        for stream in self.streams.values_mut() {
            stream.close();
        }
    }

    /// Takes out what waits for a link for too long.
    pub(super) fn expire(&mut self, now: Time) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        let Some(since) = now.since_start().checked_sub(REQUEST_TIMEOUT).map(Time::new) else {
            return tickets;
        };
        for channel in self.busy.clone() {
            let Some(stream) = self.streams.get_mut(&channel).filter(|stream| !stream.open) else { continue };
            let expired = stream.expire(since);
            tickets.extend(self.account(expired));
            self.settle(channel);
        }
        tickets
    }

    /// Ends a stream and takes out all that it held.
    pub(super) fn remove(&mut self, channel: &ChannelId) -> Vec<Ticket> {
        let Some(mut stream) = self.streams.remove(channel) else { return Vec::new() };
        self.busy.remove(channel);
        self.signs.retain(|_, other| other != channel);
        self.account(stream.expire(Time::MAX))
    }

    /// Whether a stream has nothing to send and nothing unanswered.
    pub(super) fn is_idle(&self, channel: &ChannelId) -> bool {
        !self.busy.contains(channel)
    }

    /// Whether all streams are idle.
    pub(super) fn all_idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// When something may be sent, for which there must be a link, or has waited too long.
    pub(super) fn deadline(&self, is_up: bool) -> Option<Time> {
        let streams = self.busy.iter().filter_map(|channel| {
            let stream = self.streams.get(channel)?;
            if stream.open {
                // A stream stays open while its session may be resumed.
                stream.hold_until().filter(|_| is_up)
            } else {
                stream.oldest().map(|since| since + REQUEST_TIMEOUT)
            }
        });
        streams.chain(self.wake.filter(|_| is_up)).min()
    }

    fn settle(&mut self, channel: ChannelId) {
        if self.streams.get(&channel).is_none_or(OwnStream::is_idle) {
            self.busy.remove(&channel);
        }
    }

    fn account(&mut self, expired: Expired) -> Vec<Ticket> {
        self.entries -= expired.entries;
        self.bytes -= expired.bytes;
        expired.tickets
    }
}

/// Whether the budgets let such a post go now; if not, `wake` gets the moment when they will.
fn affords(wake: &mut Option<Time>, way: &mut Way<'_>, cost: Cost) -> bool {
    let at = way.budgets.post_at(way.now, cost.entries, cost.bytes);
    if at > way.now {
        *wake = Some(wake.map_or(at, |other| other.min(at)));
    }
    at <= way.now
}

/// The bounds of section 4.2 on what a user puts around a content.
pub(super) fn check_headers(entry: &Entry) -> Result<(), Failure> {
    let long = entry.headers.keys().any(|name| name.len() > MAX_CONTENT_TYPE);
    if long
        || header_bytes(&entry.headers) > MAX_HEADER_BYTES
        || entry.headers.len() > MAX_HEADERS
        || entry.content_type.len() > MAX_CONTENT_TYPE
    {
        return Err(Failure::BadHeaders);
    }
    Ok(())
}
