//! Who is in which channel, what was said, and who heard it how often.

use super::engine::{DEVICE, Engine, MILLI, client_link};
use super::host::Host;
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_node::{Input, Received};
use darkchat_proto::{
    Bundle, ChannelId, Content, Deliver, Digest16, Entry, Features, Frame, Have, Kind, Post, PostHead,
    RouterId, Signature, Signed, UserId,
};
use std::collections::{BTreeMap, BTreeSet};

/// So long a client waits for a missing number before it shows the next: what comes within it is shown in order.
const REORDER_WAIT: u64 = 500 * MILLI;

/// How long a bundle is valid, in milliseconds: longer than any run.
const BUNDLE_MS: u64 = 12 * 3_600_000;

/// A user in one channel.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) host: usize,
    pub(super) channel: usize,
    /// Its place in the channel.
    slot: usize,
    user: UserId,
    /// What it said, by number.
    sent: Vec<usize>,
    /// Between these times it is not promised what others say, nor they what it says: its server was restarted, or it
    /// moved to another.
    pub(super) unsettled: Vec<(u64, u64)>,
}

impl Member {
    pub(super) fn is_settled(&self, at: u64) -> bool {
        self.unsettled.iter().all(|(from, to)| !(*from..*to).contains(&at))
    }
}

/// Something that was said.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) publisher: usize,
    pub(super) at: u64,
    /// Where its counts begin: one for each member of the channel.
    first: usize,
}

/// All channels and messages.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) members: Vec<Member>,
    /// The members of each channel.
    pub(super) channels: Vec<Vec<usize>>,
    pub(super) messages: Vec<Message>,
    /// How often each member heard each message.
    counts: Vec<u8>,
    /// For each member the newest number of each other member of its channel, and when it came.
    newest: Vec<Vec<(u64, u64)>>,
    /// Posts that came after a later one, soon enough for a client to put them right, and too late for that.
    pub(super) reordered: u64,
    pub(super) order_violations: u64,
    /// Frames with messages that crossed a link.
    pub(super) crossings: u64,
    /// The longest time from a message to a member, in nanoseconds.
    pub(super) slowest: u64,
    /// Messages that hostile peers kept, with the servers that were to get them.
    pub(super) swallowed: BTreeSet<(usize, RouterId)>,
    /// Messages, with servers of which the publisher's had not heard by then what they want; looked at where hostile
    /// peers may keep that.
    pub(super) unheard: BTreeSet<(usize, RouterId)>,
    /// Whether the records that pass are looked at.
    pub(super) watches_records: bool,
}

/// The channel with this number; the quiet ones come after those with members.
fn channel_id(number: usize) -> ChannelId {
    let mut id = [0xCC; 32];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    ChannelId::new(id)
}

fn user_id(number: u64) -> UserId {
    let mut id = [0xAA; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    UserId::new(id)
}

/// Who says something, and under which number of its own.
fn author_of(deliver: &Bytes) -> Option<(usize, u64)> {
    let Content::Public(signed) = Deliver::decode(deliver.clone()).ok()?.content else { return None };
    let head = PostHead::decode(&signed.body).ok()?;
    let author = u64::from_be_bytes(*head.author.as_bytes().first_chunk()?);
    Some((usize::try_from(author).ok()?, head.seq))
}

impl Traffic {
    /// A member's program is given a post.
    pub(super) fn hear(&mut self, now: u64, client: u64, deliver: &Bytes) {
        let Some(member) = usize::try_from(client).ok().and_then(|client| self.members.get(client)) else {
            return;
        };
        let Some((author, seq)) = author_of(deliver) else { return };
        let Some(message) = self.sent(author, seq) else {
            self.order_violations += 1;
            return;
        };
        let Message { first, at, .. } = self.messages[message];
        let count = &mut self.counts[first + member.slot];
        *count = count.saturating_add(1);
        let count = *count;
        if count == 1 {
            self.slowest = self.slowest.max(now - at);
        }
        let slot = self.members[author].slot;
        let newest = &mut self.newest[usize::try_from(client).unwrap_or(0)][slot];
        if seq > newest.0 {
            *newest = (seq, now);
        } else if count == 1 {
            let in_time = now - newest.1 <= REORDER_WAIT;
            self.reordered += u64::from(in_time);
            self.order_violations += u64::from(!in_time);
        }
    }

    /// The message with this number of its author.
    fn sent(&self, author: usize, seq: u64) -> Option<usize> {
        self.members.get(author)?.sent.get(usize::try_from(seq).ok()?.checked_sub(1)?).copied()
    }

    /// A hostile peer keeps a message that was on its way to these servers.
    pub(super) fn swallow(&mut self, deliver: &Bytes, to: &[RouterId]) {
        let message = author_of(deliver).and_then(|(author, seq)| self.sent(author, seq));
        self.swallowed
            .extend(message.into_iter().flat_map(|message| to.iter().map(move |to| (message, *to))));
    }

    /// How often this member, by its place in the channel, heard a message.
    pub(super) fn heard(&self, message: usize, slot: usize) -> u8 {
        self.counts[self.messages[message].first + slot]
    }
}

impl Engine {
    /// Chooses who is in which channel, and lets everybody join.
    pub(super) fn join_channels(&mut self) {
        let starting: Vec<usize> =
            (0..self.hosts.len()).filter(|host| self.hosts[*host].node.is_some()).collect();
        for channel in 0..self.mesh.channels {
            let mut free = starting.clone();
            let mut members = Vec::new();
            for slot in 0..=self.mesh.interested.min(free.len().saturating_sub(1)) {
                let host = free.swap_remove(self.rng.index(free.len()));
                let member = self.traffic.members.len();
                let user = user_id(member as u64);
                let (sent, unsettled) = (Vec::new(), Vec::new());
                self.traffic.members.push(Member { host, channel, slot, user, sent, unsettled });
                members.push(member);
            }
            for _ in &members {
                self.traffic.newest.push(vec![(0, 0); members.len()]);
            }
            self.traffic.channels.push(members);
        }
        (0..self.traffic.members.len()).for_each(|member| self.enter(member));
        let quiet = self.mesh.quiet_channels;
        for host in starting.into_iter().filter(|_| quiet > 0) {
            let client = (self.traffic.members.len() + host) as u64;
            self.open_client(host, client, user_id(client));
            let first = self.mesh.channels + host * quiet;
            let channels = (first..first + quiet).map(channel_id).collect();
            self.ask_to_join(host, client, channels);
        }
    }

    /// A member's program connects to its server, and joins its channel. Where people move, it says where it is.
    pub(super) fn enter(&mut self, member: usize) {
        let Member { host, channel, user, .. } = self.traffic.members[member];
        let link = client_link(member as u64);
        self.open_client(host, member as u64, user);
        if self.mesh.churn > 0.0 {
            let bundle = Bundle {
                suite: 1,
                user,
                device: DEVICE,
                dh: [7; 32],
                not_before_ms: self.wall_ms(),
                not_after_ms: self.wall_ms() + BUNDLE_MS,
                server: self.hosts[host].id,
                features: Features::NONE,
            };
            let signed = Signed { body: bundle.encode(), sig: Signature::new([7; 64]) }.encode();
            let frame = Received::SetBundle { req: 2, bundle: Verified::unchecked(bundle), signed };
            self.tell(host, Input::Frame { link, frame });
        }
        self.ask_to_join(host, member as u64, vec![channel_id(channel)]);
    }

    /// The clients of a server show that they live, as programs must that have nothing to say.
    pub(super) fn ping_from_clients(&mut self, host: usize) {
        let members = self.traffic.members.iter().enumerate();
        let mut clients: Vec<usize> =
            members.filter(|(_, member)| member.host == host).map(|(number, _)| number).collect();
        if self.mesh.quiet_channels > 0 && !self.traffic.members.is_empty() {
            clients.push(self.traffic.members.len() + host);
        }
        for client in clients {
            let frame = Received::Other(Frame::from(Kind::Ping { nonce: 0, acked: 0 }));
            self.tell(host, Input::Frame { link: client_link(client as u64), frame });
        }
    }

    fn ask_to_join(&mut self, host: usize, client: u64, channels: Vec<ChannelId>) {
        let join = Frame::asking(1, Kind::Join { channels, wait_spread: false });
        self.tell(host, Input::Frame { link: client_link(client), frame: Received::Other(join) });
    }

    /// Somebody says something.
    pub(super) fn publish(&mut self) {
        let channel = self.rng.index(self.traffic.channels.len());
        let living: Vec<usize> = self.traffic.channels[channel]
            .iter()
            .copied()
            .filter(|member| self.hosts[self.traffic.members[*member].host].node.is_some())
            .collect();
        let Some(publisher) = self.rng.pick(&living) else { return };
        let (message, first) = (self.traffic.messages.len(), self.traffic.counts.len());
        if self.hosts.len() > self.mesh.servers {
            self.note_unheard(message, publisher, channel);
        }
        self.traffic.counts.resize(first + self.traffic.channels[channel].len(), 0);
        self.traffic.messages.push(Message { publisher, at: self.now, first });
        let time_ms = self.wall_ms();
        let member = &mut self.traffic.members[publisher];
        member.sent.push(message);
        let post = Post {
            author: member.user,
            channel: channel_id(channel),
            stream: 1,
            seq: member.sent.len() as u64,
            time_ms,
            name: String::new(),
            entries: vec![Entry::text(format!("message {message}, of about the usual length"))],
        };
        let signed = Signed { body: post.encode(), sig: Signature::new([7; 64]) };
        let deliver = Deliver { channel: post.channel, content: Content::Public(signed) }.encode();
        let (host, link) = (member.host, client_link(publisher as u64));
        let digest = Digest16::of(&deliver);
        let frame = Received::Publish { req: 0, post: Verified::unchecked(post), deliver, digest };
        self.tell(host, Input::Frame { link, frame });
    }

    /// Notes which members' servers want this message without the publisher's having heard of it.
    fn note_unheard(&mut self, message: usize, publisher: usize, channel: usize) {
        let own = |host: usize| {
            let Host { router, node, .. } = self.hosts.get(host)?;
            node.as_ref()?.holdings().find(|have| have.router == *router)
        };
        let Some(node) = &self.hosts[self.traffic.members[publisher].host].node else { return };
        let here: BTreeMap<RouterId, Have> = node.holdings().map(|have| (have.router, have)).collect();
        let members = self.traffic.channels[channel].iter();
        let true_ones = members.filter_map(|member| own(self.traffic.members[*member].host));
        let heard = |have: &Have| {
            here.get(&have.router).is_some_and(|here| (here.epoch, here.shards) == (have.epoch, have.shards))
        };
        let unheard: Vec<RouterId> = true_ones.filter(|have| !heard(have)).map(|have| have.router).collect();
        self.traffic.unheard.extend(unheard.into_iter().map(|router| (message, router)));
    }
}
