//! What the server sends: answers, posts, notices, and the end.

use super::order::{Release, Verdict};
use super::requests::Asked;
use super::{Event, Membership, Received, Session, Trust};
use crate::message::{Cause, Content, Message, Missed};
use darkchat_crypto::VerifyError;
use darkchat_proto::{
    ChannelId, ChannelName, Code, Entry, EntryKind, Frame, Kind, MessageId, Notice, Post, PostId, Refusal,
    Time, UserId, UserName,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Session {
    pub(super) fn received(&mut self, now: Time, received: Received) {
        if !self.connection.is_up() && !self.connection.is_greeting() {
            return;
        }
        self.connection.heard(now);
        if counts(&received) {
            self.resuming.received();
        }
        match received {
            Received::Refused { code } => self.cut(code),
            Received::Other(frame) => self.frame(now, frame),
            _ if !self.connection.is_up() => self.cut(Code::BadFrame),
            // What members say there is sealed. A server, or who was removed and has not left yet, may bring what is not.
            Received::Post { channel, post: Ok(post), .. } if self.private.is_generation(&channel) => {
                self.stats.malformed = self.stats.malformed.saturating_add(entries(&post));
            }
            Received::Post { channel, id, post: Ok(post) } => self.post(now, channel, id, post.into_inner()),
            Received::Post { post: Err(VerifyError::BadSignature), .. } => self.stats.bad_signature += 1,
            Received::Post { post: Err(_), .. } | Received::Malformed => self.stats.malformed += 1,
            Received::Found { re, bundles, refused, complete } => {
                self.stats.bad_bundles = self.stats.bad_bundles.saturating_add(refused);
                self.found(now, re, bundles, complete);
            }
            Received::Sealed { channel, sealed } => self.sealed(now, channel, &sealed),
        }
    }

    fn frame(&mut self, now: Time, frame: Frame) {
        let Frame { req, re, critical, kind } = frame;
        let known = !matches!(kind, Kind::Unknown(_));
        if (known && !kind.is_from_server()) || (self.connection.is_greeting() && !opens(&kind)) {
            return self.cut(Code::BadFrame);
        }
        match kind {
            Kind::Welcome(welcome) => self.welcomed(now, &welcome),
            Kind::Goodbye(goodbye) => self.farewell(goodbye),
            Kind::Ping { nonce, acked: _ } => {
                let acked = self.resuming.tell();
                self.outbox.reply(&Frame::from(Kind::Pong { nonce, acked }));
            }
            Kind::Pong { nonce: _, acked } => self.resuming.acked(acked),
            Kind::Ok(done) => match self.requests.answer_to(re, Asked::is_done_or_not) {
                Some(Asked::Join(channels)) => self.joined(now, re, channels, done),
                Some(Asked::Leave(channel)) => self.left(channel),
                Some(Asked::Publish(channel)) => self.published(re, &channel, done),
                Some(Asked::SetBundle) => self.bundle_answered(),
                Some(Asked::Lookup(_) | Asked::Packet(_)) | None => {}
            },
            Kind::Error(refusal) => self.refused(now, re, &refusal),
            Kind::Notice(notice) => self.notice(notice),
            Kind::Unknown(_) if req != 0 || critical => {
                let refusal = Refusal { code: Code::Unsupported, text: String::new(), retry_ms: 0 };
                self.outbox.reply(&Frame::replying(req, Kind::Error(refusal)));
            }
            Kind::Dm(delivered) => self.packet(now, delivered),
            Kind::DmStatus(code) => self.packet_status(now, re, code),
            _ => {}
        }
    }

    fn refused(&mut self, now: Time, re: u32, refusal: &Refusal) {
        match self.requests.answer(re) {
            Some(Asked::Join(channels)) => self.not_joined(now, re, channels, refusal),
            Some(Asked::Leave(channel)) => self.left(channel),
            Some(Asked::Publish(channel)) => self.not_published(now, re, &channel, refusal),
            Some(Asked::SetBundle) => self.bundle_answered(),
            Some(Asked::Lookup(user)) => self.not_found(now, user, refusal),
            Some(Asked::Packet(parcel)) => self.packet_refused(now, parcel, refusal),
            None => {}
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Dropped { channel, count } if self.is_joined(&channel) => {
                let missed = Missed { from: None, count: Some(count), cause: Cause::Slow };
                self.event(Event::Missed { channel, missed });
            }
            Notice::Draining => self.event(Event::Draining),
            Notice::Text(text) => self.event(Event::Text(text)),
            _ => {}
        }
    }

    pub(super) fn is_joined(&self, channel: &ChannelId) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.membership == Membership::Joined)
    }

    /// A post whose signature is good. Source: section 6.3.
    pub(super) fn post(&mut self, now: Time, channel: ChannelId, id: PostId, post: Post) {
        let entries = entries(&post);
        let counter = if post.channel != channel {
            &mut self.stats.malformed
        } else if self.is_own(&post) {
            &mut self.stats.ignored
        } else if !self.is_joined(&channel) {
            match self.channels.get(&channel).map(|one| &one.membership) {
                Some(Membership::Asked(_)) if self.early.push(channel, id, &post) => return,
                None | Some(Membership::Wanted) => &mut self.stats.misdirected,
                // It may have been on its way to us, or there is no room for more of it.
                Some(_) => &mut self.stats.ignored,
            }
        } else {
            let mut releases = Vec::new();
            let verdict = self.order.receive(now, self.wall.at(now), id, post, &mut releases);
            self.show(now, releases);
            match verdict {
                Verdict::Taken => return,
                Verdict::Duplicate => &mut self.stats.duplicate,
                Verdict::Late => &mut self.stats.late,
                Verdict::Stale => &mut self.stats.stale,
            }
        };
        *counter = counter.saturating_add(entries);
    }

    /// Whether a post is of this session's own stream, come back.
    fn is_own(&self, post: &Post) -> bool {
        post.author == self.user && self.own.number(&post.channel) == Some(post.stream)
    }

    /// Gives the user what its turn has come for.
    pub(super) fn show(&mut self, now: Time, releases: Vec<Release>) {
        for release in releases {
            match release {
                Release::Gap { channel, author, from, to } => self.show_gap(channel, author, (from, to)),
                Release::Post { post, .. } if self.is_blocked(&post.author) => self.pass_over(now, &post),
                Release::Post { id, post } => self.show_post(now, id, post),
            }
        }
    }

    /// Numbers of an author's stream are missing, from the first to the last.
    pub(super) fn show_gap(&mut self, channel: ChannelId, author: UserId, (from, to): (u64, u64)) {
        let count = to.saturating_sub(from).saturating_add(1);
        self.stats.gap = self.stats.gap.saturating_add(count);
        if !self.is_blocked(&author) {
            let missed = Missed { from: Some(author), count: Some(count), cause: Cause::Gap };
            self.event(Event::Missed { channel, missed });
        }
    }

    /// Whether nothing of this key is to be shown.
    fn is_blocked(&self, user: &UserId) -> bool {
        *user != self.user && self.contacts.trust(user) == Trust::Blocked
    }

    /// A post of a blocked key: nothing of it is shown. That a private channel has moved on counts whoever says it.
    fn pass_over(&mut self, now: Time, post: &Post) {
        for entry in &post.entries {
            if entry.kind == EntryKind::Moved && self.private.is_generation(&post.channel) {
                self.moved(now, &post.channel, post.author, entry);
            } else {
                self.stats.ignored = self.stats.ignored.saturating_add(1);
            }
        }
    }

    fn show_post(&mut self, now: Time, id: PostId, post: Post) {
        let Post { author, channel, stream: _, seq: _, time_ms, name, entries } = post;
        let name: UserName = name.parse().unwrap_or_default();
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(time_ms)).unwrap_or(UNIX_EPOCH);
        if author != self.user
            && let Some(change) = self.members.heard(now, self.private.outer(&channel), author, &name)
        {
            let channel = self.private.outer(&channel);
            self.event(Event::Member { channel, change });
        }
        for (index, entry) in (0_u8..).zip(entries) {
            let stats = &mut self.stats;
            match entry.kind {
                EntryKind::Here => stats.shown += 1,
                EntryKind::Part => {
                    stats.shown += 1;
                    let channel = self.private.outer(&channel);
                    if let Some(change) = self.members.parted(channel, author) {
                        self.event(Event::Member { channel, change });
                    }
                }
                EntryKind::Moved if self.private.is_generation(&channel) => {
                    self.moved(now, &channel, author, &entry);
                }
                EntryKind::Text | EntryKind::Data => {
                    let Some(from) = self.channels.get(&channel) else { continue };
                    let header = (MessageId { post: id, index }, from.name.clone(), time);
                    let is_private = self.private.is_generation(&channel);
                    match message(header, author, name.clone(), is_private, entry) {
                        Some(message) => {
                            stats.shown += 1;
                            self.event(Event::Message { channel, message });
                        }
                        None => stats.malformed += 1,
                    }
                }
                _ => stats.unknown_kind += 1,
            }
        }
    }
}

/// The number of a post's entries.
pub(super) fn entries(post: &Post) -> u64 {
    u64::try_from(post.entries.len()).unwrap_or(u64::MAX)
}

/// Whether a frame may be the first of a link.
const fn opens(kind: &Kind) -> bool {
    matches!(kind, Kind::Welcome(_) | Kind::Goodbye(_))
}

/// The message of an entry; `None` for a text that is none.
fn message(
    (id, channel, time): (MessageId, ChannelName, SystemTime),
    from: UserId,
    name: UserName,
    private: bool,
    entry: Entry,
) -> Option<Message> {
    let Entry { kind, content, content_type, headers, reply_to } = entry;
    let payload = match kind {
        EntryKind::Text => Content::Text(String::from_utf8(content.into()).ok()?),
        _ => Content::Data(content),
    };
    Some(Message { id, channel, private, from, name, time, payload, content_type, headers, reply_to })
}

/// Whether a frame counts in the session (5.4).
const fn counts(received: &Received) -> bool {
    match received {
        Received::Other(frame) => frame.kind.counts_from_server(),
        Received::Post { .. } | Received::Found { .. } | Received::Sealed { .. } | Received::Malformed => {
            true
        }
        Received::Refused { .. } => false,
    }
}
