//! Sealed posts that come: opened, judged, and shown like others. Source: `docs/protocol.md`, section 8.1, "message".

use crate::session::Session;
use darkchat_crypto::group::{GroupPost, OpenPostError};
use darkchat_proto::{ChannelId, Entry, GroupBody, Post, Time, UserId};

impl Session {
    /// A sealed post came on a channel. It is opened here and not beside the session, because only the session has the
    /// secrets; the budgets of its sender bound what that costs.
    pub(in crate::session) fn sealed(&mut self, now: Time, channel: ChannelId, sealed: &[u8]) {
        let wall_ms = self.wall.at(now);
        let outer = self.private.outer(&channel);
        let Some(private) = self.private.channels.get_mut(&outer) else {
            self.stats.undecryptable = self.stats.undecryptable.saturating_add(1);
            return;
        };
        let Some(generation) = private.line.get_mut(&channel).filter(|one| one.is_read(wall_ms)) else {
            self.stats.ignored = self.stats.ignored.saturating_add(1);
            return;
        };
        let opened = match generation.group.open(sealed, wall_ms) {
            Ok(opened) => opened.into_inner(),
            Err(error) => {
                let counter = match error {
                    OpenPostError::BadSignature => &mut self.stats.bad_signature,
                    OpenPostError::Malformed(_) => &mut self.stats.malformed,
                    OpenPostError::NotMember => &mut self.stats.ignored,
                    _ => &mut self.stats.undecryptable,
                };
                *counter = counter.saturating_add(1);
                return;
            }
        };
        let GroupPost { head, body: GroupBody { author, .. }, .. } = &opened;
        let (author, stream) = (*author, head.stream);
        if private.line.is_removed(&author, &channel) {
            let entries = u64::try_from(opened.body.entries.len()).unwrap_or(u64::MAX);
            self.stats.ignored = self.stats.ignored.saturating_add(entries);
            return;
        }
        if private.tails.heard(now, channel, &opened) {
            let mut releases = Vec::new();
            self.order.begin_at_first(now, channel, author, stream, &mut releases);
            self.show(now, releases);
        }
        let GroupPost { head, body, id, .. } = opened;
        let GroupBody { author, time_ms, name, entries, .. } = body;
        let post = Post { author, channel, stream: head.stream, seq: head.seq, time_ms, name, entries };
        self.post(now, channel, id, post);
    }

    /// Reports what did not come of streams that have ended.
    pub(super) fn report_missing(&mut self, now: Time) {
        let mut missing = Vec::new();
        for (outer, private) in &mut self.private.channels {
            while let Some(found) = private.tails.missing(now) {
                missing.push((*outer, found));
            }
        }
        for (outer, found) in missing {
            self.order.give_up(found.channel, found.author, found.stream, found.to);
            self.show_gap(outer, found.author, (found.from, found.to));
        }
    }

    /// An author says that the channel has moved on. If we know nothing of it, we ask who does.
    pub(in crate::session) fn moved(
        &mut self,
        now: Time,
        channel: &ChannelId,
        author: UserId,
        entry: &Entry,
    ) {
        let Ok(generation) = <[u8; 4]>::try_from(&entry.content[..]).map(u32::from_be_bytes) else {
            self.stats.malformed = self.stats.malformed.saturating_add(1);
            return;
        };
        self.stats.shown = self.stats.shown.saturating_add(1);
        let outer = self.private.outer(channel);
        let Some(private) = self.private.channels.get_mut(&outer) else { return };
        let Some(tip) = private.line.current() else { return };
        if !tip.group.admins().contains(&author) || tip.group.generation() >= generation {
            return;
        }
        let admins = tip.group.admins().iter().copied().filter(|admin| *admin != self.user);
        let whom: Vec<UserId> = std::iter::once(author).chain(admins).collect();
        // The rekey is on its way to us in the same moment: it is asked for only if it does not come by itself.
        private.asking.begin(now + super::telling::ASK_WAIT, whom);
    }
}
