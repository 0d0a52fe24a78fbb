//! What must hold after every step. Source: `docs/protocol.md`, sections 11.5 and 13; letters are guarantees there.

use crate::Who;
use crate::seals::Seals;
use crate::shown::{Posts, Published};
use crate::tell::Cause;
use crate::wire::EndState;
use crate::world::{Event, World};
use bytes::Bytes;
use darkchat_client::session::{self, State};
use darkchat_node::{DroppedFor, LinkId, Node, Received, SendClass, Stats};
use darkchat_proto::{
    ChannelId, Class, Code, Content, Deliver, Frame, FrameStream, Have, Kind, PostId, RecordFlags, RouterId,
    Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From so long before a post until [`AFTER`] after it a stable network owes it to every member (G4).
const BEFORE: Duration = Duration::from_secs(5);
/// The promise is 2 s; the rest is the author's signature and the time to the server.
const AFTER: Duration = Duration::from_millis(2_200);
/// Two links between a pair become one within 5 s, and their ends are seen.
const ONE_LINK: Duration = Duration::from_secs(7);
/// So long a server knows a post that it has delivered.
const SEEN: Duration = Duration::from_secs(60);
/// Replies and control frames that one post may cause beside its copies.
const EXTRA_SENDS: usize = 8;

/// What the world knows for its checks.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) posts: Posts,
    /// The bytes that receivers may get, as their authors' servers took them: a number, and the connection if known.
    delivers: BTreeMap<Bytes, (u64, Option<usize>)>,
    /// When each of them was sent to a client's link last: server, link, post.
    sent: BTreeMap<(usize, LinkId, u64), Time>,
    /// When a fault began or ended last, or a link between honest servers came or went; may lie ahead.
    pub(crate) disturbed: Time,
    /// How often each route arrived anywhere.
    copies: BTreeMap<(RouterId, u64), usize>,
    /// What each server said last that it holds of each other, and when.
    pub(crate) digests: BTreeMap<usize, BTreeMap<RouterId, (Time, Have)>>,
    /// Pairs of message and receiver that were promised, and had it.
    pub(crate) judged: u64,
    /// What servers heard of links that were not up.
    pub(crate) before_up: u64,
    /// What clients sealed.
    pub(crate) seals: Seals,
}

impl Check {
    pub(crate) fn new() -> Self {
        Self {
            posts: Posts::default(),
            delivers: BTreeMap::new(),
            sent: BTreeMap::new(),
            disturbed: Time::ZERO,
            copies: BTreeMap::new(),
            digests: BTreeMap::new(),
            judged: 0,
            before_up: 0,
            seals: Seals::default(),
        }
    }

    /// These bytes may reach members of their channel.
    pub(crate) fn carried(&mut self, deliver: &Bytes, connection: Option<usize>) {
        let number = u64::try_from(self.delivers.len()).unwrap_or(u64::MAX);
        self.delivers.entry(Bytes::copy_from_slice(deliver)).or_insert((number, connection));
    }
}

impl World {
    /// Nothing is promised about delivery until this moment is [`BEFORE`] ago.
    pub(crate) fn disturb(&mut self, until: Time) {
        self.check.disturbed = self.check.disturbed.max(until).max(self.now);
    }

    pub(crate) fn links_changed(&mut self, server: usize, there: Who) {
        if let Who::Server(peer) = there {
            self.disturb(self.now);
            let servers = [server.min(peer), server.max(peer)];
            self.after(ONE_LINK, Event::Pair { servers });
        }
    }

    // ---- servers

    /// After each input: the accounting closes, every size is within its bound, and the work was in proportion.
    pub(crate) fn check_node(&self, server: usize, node: &Node, cause: Cause, sends: usize) {
        let stats = node.stats();
        if !stats.closes() {
            self.broken(&format!("the accounting of server {server} does not close: {stats:?}"));
        }
        if let Some(what) = self.over_bound(server, &stats) {
            self.broken(&format!("server {server} holds too much: {what} in {:?}", stats.sizes));
        }
        let links = stats.sizes.clients + stats.sizes.peers;
        if cause == Cause::Post && sends > links + EXTRA_SENDS {
            self.broken(&format!("server {server} sends {sends} frames for one post and {links} links"));
        }
    }

    fn over_bound(&self, server: usize, stats: &Stats) -> Option<&'static str> {
        let (sizes, config) = (&stats.sizes, &self.hosts[server].config);
        let bounds = [
            ("clients", sizes.clients, config.max_clients),
            ("peers", sizes.peers, config.neighbours.max + self.hosts[server].peers.len()),
            ("memberships", sizes.memberships, 2_000_000),
            ("bytes in queues", sizes.queued_bytes, (config.memory_budget / 4).max(1)),
            ("bytes in a queue", sizes.longest_queue, 8 << 20),
            ("digests", sizes.seen, 2 * 131_072),
            ("servers", sizes.servers, 4_097),
            ("tags", sizes.tags, 2_000_000 + 131_072),
            ("frames not done", sizes.pending_done, 8_192),
            ("held records", sizes.held_records, 4_096),
            ("servers turned away", sizes.turned_away, 1_024),
            ("address book", sizes.book, 4_096),
            ("dials for strangers", sizes.paced_dials, 301),
        ];
        bounds.into_iter().find(|(_, size, bound)| size > bound).map(|(what, ..)| what)
    }

    /// A server that goes on with a client's session knows what the client asked for on the lost link.
    pub(crate) fn note_welcome(&mut self, server: usize, links: &[LinkId], head: &Bytes, class: SendClass) {
        let (SendClass::Control, [link]) = (class, links) else { return };
        let host = &mut self.hosts[server];
        let far = |(connection, end): &(usize, usize)| self.connections[*connection].ends[1 - end].who;
        let Some(Who::Client(client)) = host.links.get(link).map(far) else { return };
        let mut stream = FrameStream::default();
        stream.push(head.clone());
        let frame = stream.next_frame().ok().flatten().and_then(|frame| Frame::decode(frame).ok());
        let Some(Kind::Welcome(welcome)) = frame.map(|frame| frame.kind) else { return };
        let before = host.asked_before.remove(&client);
        let stands = host.links.iter().find(|(id, place)| *id != link && far(place) == Who::Client(client));
        let stands = stands.and_then(|(id, _)| host.asked.get(id).cloned());
        if welcome.resumed
            && let Some(asked) = stands.or(before)
        {
            host.asked.insert(*link, asked);
        }
    }

    /// What a server sends: to members only, and as it came.
    pub(crate) fn check_send(&mut self, server: usize, links: &[LinkId], head: &Bytes, body: &Bytes) {
        if links.is_empty() {
            self.broken(&format!("server {server} sends to nobody"));
        }
        if body.is_empty() {
            return;
        }
        // An encoded `Deliver` begins with its channel: key 10, length 32.
        let channel = match body.split_first_chunk::<2>() {
            Some(([10, 32], rest)) => rest.first_chunk().map(|id| ChannelId::new(*id)),
            _ => None,
        };
        // Looked for once: it takes a comparison of whole posts.
        let mut published = None;
        for link in links {
            let host = &self.hosts[server];
            let Some((connection, end)) = host.links.get(link) else { continue };
            if matches!(self.connections[*connection].ends[1 - end].who, Who::Server(_)) {
                continue;
            }
            if self.tasks.get(&(*connection, *end)).is_some_and(|task| task.is_peer()) {
                continue;
            }
            let asked = host.asked.get(link);
            if !channel.is_some_and(|channel| asked.is_some_and(|asked| asked.contains(&channel))) {
                self.broken(&format!(
                    "server {server} sends {link:?} a post of a channel that it did not join"
                ));
            }
            let Some((number, origin)) =
                *published.get_or_insert_with(|| self.check.delivers.get(body).copied())
            else {
                self.broken(&format!("server {server} delivers bytes that nobody published, head {head:?}"));
            };
            if origin == Some(*connection) {
                self.broken(&format!("server {server} sends {link:?} its own post"));
            }
            let before = self.check.sent.insert((server, *link, number), self.now);
            if before.is_some_and(|before| self.now.saturating_since(before) < SEEN) {
                self.broken(&format!("server {server} sends {link:?} a post twice"));
            }
        }
    }

    /// What a server's link brought it.
    pub(crate) fn check_received(&mut self, server: usize, link: LinkId, from: Who, received: &Received) {
        if matches!(from, Who::Client(_)) && self.check.seals.repeat_a_key(received) {
            self.broken(&format!("{from} seals two things with one key and nonce: {received:?}"));
        }
        match received {
            Received::Publish { post, deliver, .. } => {
                let client = if let Who::Client(client) = from { Some(client) } else { None };
                self.published(client, post, deliver);
            }
            Received::Record { record, .. } => {
                if let Who::Server(peer) = from
                    && self.hosts[peer].id() == record.server
                {
                    self.hosts[peer].says_dialable = record.flags.contains(RecordFlags::DIALABLE);
                }
            }
            Received::Route { head, .. } if head.class == Class::Channel => {
                if let Who::Server(peer) = from {
                    self.check_route(server, peer, (head.origin, head.id), head.ttl);
                }
            }
            Received::Other(Frame { kind, .. }) => match kind {
                Kind::Join { channels, .. } => {
                    self.hosts[server].asked.entry(link).or_default().extend(channels);
                }
                Kind::Digest { known, .. } => {
                    if let Who::Server(peer) = from {
                        let said = known.iter().map(|have| (have.router, (self.now, *have)));
                        self.check.digests.entry(peer).or_default().extend(said);
                    }
                }
                Kind::Error(refusal)
                    if matches!(from, Who::Server(_))
                        // Who forgot at a restart that it had asked to be dialled asks too often.
                        && !matches!(refusal.code, Code::Unsupported | Code::RateLimited) =>
                {
                    self.broken(&format!("{from} refuses what server {server} sent: {refusal:?}"));
                }
                _ => {}
            },
            Received::Refused { code, .. } if *code != Code::RateLimited && self.is_honest(from) => {
                self.broken(&format!("{from} sends server {server} what the protocol forbids: {code:?}"));
            }
            _ => {}
        }
    }

    /// Whether what comes from there is certainly its own fault: a server may carry on what a stranger made.
    fn is_honest(&self, from: Who) -> bool {
        match from {
            Who::Client(_) => true,
            Who::Server(_) => self.strangers.is_empty(),
            Who::Hostile(_) => false,
        }
    }

    fn check_route(&mut self, server: usize, peer: usize, name: (RouterId, u64), ttl: u32) {
        if ttl == 0 || ttl > 32 {
            self.broken(&format!("server {peer} sends server {server} a route with ttl {ttl}"));
        }
        let copies = self.check.copies.entry(name).or_default();
        *copies += 1;
        let copies = *copies;
        let links: usize = self.hosts.iter().map(|host| host.links.len()).sum();
        if copies > links + self.hosts.len() {
            self.broken(&format!("route {name:?} crossed {copies} links"));
        }
    }

    /// A server took a post from its author's link.
    pub(crate) fn published(&mut self, client: Option<usize>, post: &darkchat_proto::Post, deliver: &Bytes) {
        let Ok(Deliver { content: Content::Public(signed), .. }) = Deliver::decode(deliver.clone()) else {
            return;
        };
        let id = PostId::of_body(&signed.body);
        let published = Published { post: post.clone(), client, at: self.now, taken: false };
        if let Some(client) = client {
            self.check_wished(client, &published);
        }
        if self.check.posts.add(id, published) {
            let connection = client.and_then(|client| self.users[client].connection);
            self.check.carried(deliver, connection);
            self.after(AFTER, Event::Judge { post: id });
        }
    }

    /// A client's program sends what its user wished, under its key.
    fn check_wished(&self, client: usize, published: &Published) {
        let user = &self.users[client];
        if published.post.author != user.id() {
            self.broken(&format!("client {client} publishes under another key"));
        }
        for (_, text) in published.texts() {
            let text = String::from_utf8_lossy(text).into_owned();
            if !user.wished.contains_key(&(published.post.channel, text.clone())) {
                self.broken(&format!("client {client} publishes {text:?}, which nobody wished"));
            }
        }
    }

    pub(crate) fn note_event(&mut self, server: usize, event: &darkchat_node::Event) {
        if let darkchat_node::Event::KeyElsewhere = event {
            self.broken(&format!("server {server} thinks that its key is used elsewhere"));
        }
    }

    // ---- clients

    pub(crate) fn note_client_event(&mut self, client: usize, event: session::Event) {
        let now = self.now;
        if self.talk_event(client, &event) {
            return;
        }
        match event {
            session::Event::State(state) => {
                let user = &mut self.users[client];
                let was_up = user.up_since.is_some();
                user.up_since = matches!(state, State::Connected { .. }).then_some(now);
                if user.up_since.is_some() {
                    user.joined_before.clear();
                } else if was_up {
                    user.joined_before = std::mem::take(&mut user.joined);
                }
                user.state = state;
            }
            session::Event::Resumed => {
                let user = &mut self.users[client];
                user.resumed += 1;
                user.joined = std::mem::take(&mut user.joined_before);
            }
            session::Event::Joined { channel, .. } => {
                self.users[client].joined.insert(channel, now);
            }
            session::Event::JoinFailed { why: session::Failure::AlreadyJoined, .. } => {}
            session::Event::JoinFailed { channel, .. } => {
                self.users[client].wanted.remove(&channel);
                self.users[client].joined.remove(&channel);
                self.users[client].joined_before.remove(&channel);
            }
            session::Event::Left { channel, .. } => {
                self.users[client].joined.remove(&channel);
                self.users[client].joined_before.remove(&channel);
            }
            session::Event::Sent { sent, .. } => {
                self.users[client].sent += 1;
                self.check.posts.taken(sent.id.post);
            }
            session::Event::SendFailed { .. } => self.users[client].failed += 1,
            session::Event::Message { channel, message } => {
                if !self.users[client].wanted.contains_key(&channel) {
                    self.broken(&format!("client {client} is shown a message of a channel that it left"));
                }
                let shown = self.users[client].shown.message(channel, &message, &self.check.posts);
                if let Err(what) = shown {
                    self.broken(&format!("client {client} {what}"));
                }
            }
            session::Event::Missed { channel, missed } => self.users[client].shown.missed(channel, missed),
            _ => {}
        }
    }

    // ---- promises

    fn is_calm_since(&self, since: Time) -> bool {
        self.check.disturbed <= since && self.silent.is_empty()
    }

    /// A post's time is up: in a stable network everybody who was promised it has it (G4).
    pub(crate) fn judge(&mut self, id: PostId) {
        let Some(published) = self.check.posts.get(id) else { return };
        let Some(author) = published.client else { return };
        let since = Time::new(published.at.since_start().saturating_sub(BEFORE));
        let is_steady = |user: &crate::actors::User| {
            user.reads.is_none() && user.disturbed <= since && user.up_since.is_some_and(|up| up <= since)
        };
        if published.texts().next().is_none() {
            return;
        }
        if !self.is_calm_since(since) || !published.taken || !is_steady(&self.users[author]) {
            return;
        }
        let mut judged = 0;
        let reachable = self.reachable_from(author);
        for (client, user) in self.users.iter().enumerate() {
            let is_member = user.joined.get(&published.post.channel).is_some_and(|joined| *joined <= since);
            let is_near = self.server_of(client).is_some_and(|server| reachable.contains(&server));
            if client == author || !is_member || !is_near || !is_steady(user) {
                continue;
            }
            if let Some((index, text)) = published.texts().find(|(index, _)| !user.shown.has(id, *index)) {
                let text = String::from_utf8_lossy(text);
                self.broken(&format!(
                    "client {client} was not shown {id:?}.{index} {text:?} that client {author} sent at {:?}: {:?}",
                    published.at,
                    self.drops()
                ));
            }
            judged += u64::try_from(published.texts().count()).unwrap_or(0);
        }
        self.check.judged += judged;
    }

    /// Why servers dropped copies, for the person who has to explain one.
    pub(crate) fn drops(&self) -> Vec<(usize, BTreeMap<DroppedFor, u64>)> {
        let nodes =
            self.hosts.iter().enumerate().filter_map(|(server, host)| Some((server, host.node.as_ref()?)));
        nodes.map(|(server, node)| (server, node.stats().dropped)).collect()
    }

    fn server_of(&self, client: usize) -> Option<usize> {
        let connection = self.users[client].connection?;
        let [near, far] = &self.connections[connection].ends;
        let Who::Server(server) = far.who else { return None };
        (near.state == EndState::Open && far.state == EndState::Open).then_some(server)
    }

    fn reachable_from(&self, client: usize) -> BTreeSet<usize> {
        let mut reached: BTreeSet<usize> = self.server_of(client).into_iter().collect();
        let mut next: Vec<usize> = reached.iter().copied().collect();
        while let Some(server) = next.pop() {
            for peer in self.peers_of(server) {
                if reached.insert(peer) {
                    next.push(peer);
                }
            }
        }
        reached
    }

    /// The honest servers that this one has an open link with, each as often as there are links.
    pub(crate) fn peers_of(&self, server: usize) -> Vec<usize> {
        let links = self.hosts[server].links.values();
        let peers = links.filter_map(|(connection, end)| {
            let ends = &self.connections[*connection].ends;
            let Who::Server(peer) = ends[1 - end].who else { return None };
            ends.iter().all(|end| end.state == EndState::Open).then_some(peer)
        });
        peers.collect()
    }

    /// Two servers have had their time: one link joins them, not two.
    pub(crate) fn judge_pair(&self, [one, two]: [usize; 2]) {
        if !self.is_calm_since(Time::new(self.now.since_start().saturating_sub(ONE_LINK))) {
            return;
        }
        let links = self.peers_of(one).into_iter().filter(|peer| *peer == two).count();
        if links > 1 {
            self.broken(&format!("servers {one} and {two} keep {links} links"));
        }
    }
}
