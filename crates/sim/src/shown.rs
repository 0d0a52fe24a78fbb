//! What one client was shown, held against what was published: once, in order, as it was, and no silent hole.

use darkchat_client::{Cause, Message, Missed};
use darkchat_proto::{ChannelId, ChannelName, EntryKind, MessageId, Post, PostId, Time, UserId};
use std::collections::{BTreeMap, BTreeSet};

/// A stream of an author.
type Stream = (UserId, u64);

/// A post that some server took from its author's session.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) post: Post,
    /// The client that sent it; `None` for a stranger.
    pub(crate) client: Option<usize>,
    /// When it came to its server.
    pub(crate) at: Time,
    /// Whether its author was told that it was taken.
    pub(crate) taken: bool,
}

impl Published {
    /// The texts of the post, with their places.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let entries = self.post.entries.iter().enumerate();
        let texts = entries.filter(|(_, entry)| matches!(entry.kind, EntryKind::Text | EntryKind::Data));
        texts.filter_map(|(index, entry)| Some((u8::try_from(index).ok()?, &entry.content[..])))
    }
}

/// All posts that were published.
#[derive(Debug, Default)]
pub(crate) struct Posts {
    posts: BTreeMap<PostId, Published>,
    /// The numbers of a stream that are messages, in ascending order.
    numbers: BTreeMap<Stream, BTreeSet<u64>>,
}

impl Posts {
    /// Remembers a post; whether it is new.
    pub(crate) fn add(&mut self, id: PostId, published: Published) -> bool {
        if self.posts.contains_key(&id) {
            return false;
        }
        let post = &published.post;
        let stream = (post.author, post.stream);
        let numbers = published.texts().map(|(index, _)| post.seq.saturating_add(index.into()));
        self.numbers.entry(stream).or_default().extend(numbers);
        self.posts.insert(id, published);
        true
    }

    pub(crate) fn get(&self, id: PostId) -> Option<&Published> {
        self.posts.get(&id)
    }

    pub(crate) fn taken(&mut self, id: PostId) {
        if let Some(published) = self.posts.get_mut(&id) {
            published.taken = true;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.posts.len()
    }

    pub(crate) fn nth(&self, index: usize) -> Option<&Published> {
        self.posts.values().nth(index)
    }

    /// How many messages of a stream were published with numbers between two others.
    fn between(&self, stream: Stream, after: u64, before: u64) -> usize {
        let numbers = self.numbers.get(&stream);
        let after = after.saturating_add(1);
        if after >= before { 0 } else { numbers.map_or(0, |numbers| numbers.range(after..before).count()) }
    }
}

#[derive(Debug)]
struct Last {
    number: u64,
    /// The count of reports that could explain a hole, when it was shown.
    reports: u64,
}

/// The log of one client.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    seen: BTreeSet<MessageId>,
    last: BTreeMap<(ChannelId, Stream), Last>,
    /// Reports of missed messages, by channel and author; of a whole channel without an author.
    reports: BTreeMap<(ChannelId, Option<UserId>), u64>,
    pub(crate) log: Vec<(ChannelName, String)>,
    pub(crate) missed: BTreeMap<Cause, u64>,
    /// The entries that it was told of as missing, as far as their number was known.
    pub(crate) missed_entries: u64,
}

impl Shown {
    /// Holds a message against what was published.
    pub(crate) fn message(
        &mut self,
        channel: ChannelId,
        message: &Message,
        posts: &Posts,
    ) -> Result<(), String> {
        let Some(published) = posts.get(message.id.post) else {
            return Err(format!("shows {} that nobody published: {:?}", message.id, message.payload));
        };
        let post = &published.post;
        if post.author != message.from || post.channel != channel {
            return Err(format!("shows {} under another author or channel", message.id));
        }
        let entry = post.entries.get(usize::from(message.id.index));
        if entry.is_none_or(|entry| entry.content != message.payload.as_bytes()) {
            return Err(format!("shows {} altered: {:?}", message.id, message.payload));
        }
        if !self.seen.insert(message.id) {
            return Err(format!("shows {} twice: {:?}", message.id, message.payload));
        }
        let stream = (post.author, post.stream);
        let number = post.seq.saturating_add(message.id.index.into());
        let reports = self.reports(channel, post.author);
        if let Some(last) = self.last.insert((channel, stream), Last { number, reports }) {
            if last.number >= number {
                return Err(format!("shows number {number} after {} of one stream", last.number));
            }
            let missing = posts.between(stream, last.number, number);
            if missing > 0 && last.reports == reports {
                return Err(format!("missed {missing} before number {number} and was not told"));
            }
        }
        self.log.push((
            message.channel.clone(),
            String::from_utf8_lossy(message.payload.as_bytes()).into_owned(),
        ));
        Ok(())
    }

    /// Who leaves a channel is owed nothing of what passes until it is back.
    pub(crate) fn left(&mut self, channel: ChannelId) {
        self.last.retain(|(of, _), _| *of != channel);
    }

    pub(crate) fn missed(&mut self, channel: ChannelId, missed: Missed) {
        *self.reports.entry((channel, missed.from)).or_default() += 1;
        *self.missed.entry(missed.cause).or_default() += 1;
        self.missed_entries += missed.count.unwrap_or(0);
    }

    pub(crate) fn has(&self, post: PostId, index: u8) -> bool {
        self.seen.contains(&MessageId { post, index })
    }

    fn reports(&self, channel: ChannelId, author: UserId) -> u64 {
        let of = |author| self.reports.get(&(channel, author)).copied().unwrap_or(0);
        of(Some(author)) + of(None)
    }
}
