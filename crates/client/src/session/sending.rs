//! Sending messages, and what becomes of them.

use super::joining::RATE_RETRY;
use super::own::Way;
use super::requests::Asked;
use super::stream::{OwnPost, Waiting};
use super::{Event, Failure, Membership, Session, Ticket};
use crate::message::Sent;
use darkchat_proto::{ChannelId, Code, Done, Entry, Frame, MessageId, Refusal, Time};
use std::time::Duration;

impl Session {
    pub(super) fn send(&mut self, now: Time, ticket: Ticket, channel: ChannelId, entry: Entry) {
        let channel = self.private.inner(&channel);
        let membership = self.channels.get(&channel).map(|channel| &channel.membership);
        let pushed = if self.connection.is_ended() || self.leave_by.is_some() {
            Err(Failure::Closed)
        } else if matches!(membership, None | Some(Membership::Draining(_) | Membership::Leaving(_))) {
            Err(Failure::NotJoined)
        } else {
            self.own.push(channel, Waiting { ticket: Some(ticket), entry, since: now })
        };
        if let Err(why) = pushed {
            self.send_failed(ticket, why);
        }
    }

    pub(super) fn send_failed(&mut self, ticket: Ticket, why: Failure) {
        self.event(Event::SendFailed { ticket, why });
    }

    /// Sends whatever may go now.
    pub(super) fn pump(&mut self, now: Time) {
        let mut way = Way {
            now,
            wall_ms: self.wall.at(now),
            author: self.user,
            network: &self.network,
            private: &mut self.private,
            secrets: &mut self.secrets,
            signs: &mut self.signs,
            budgets: &mut self.budgets,
            requests: &mut self.requests,
            outbox: &mut self.outbox,
            outputs: &mut self.outputs,
        };
        if self.own.pump(&mut way) {
            self.connection.sent(now);
        }
    }

    /// Queues a frame of our own wish.
    pub(super) fn write(&mut self, now: Time, frame: &Frame) {
        let bytes = self.outbox.push(frame);
        self.budgets.frame(bytes);
        self.connection.sent(now);
    }

    /// The server took a post.
    pub(super) fn published(&mut self, req: u32, channel: &ChannelId, done: Done) {
        let Some(post) = self.own.answered(channel, req) else { return };
        self.say_sent(post, done);
    }

    fn say_sent(&mut self, post: OwnPost, done: Done) {
        for (index, ticket) in (0_u8..).zip(post.tickets) {
            let id = MessageId { post: post.id, index };
            if let Some(ticket) = ticket {
                let sent = Sent { id, local: done.local, servers: done.servers };
                self.event(Event::Sent { ticket, sent });
            }
        }
    }

    /// The server did not take a post. For the rate, the same bytes go again; a repeat that was taken before is done.
    pub(super) fn not_published(&mut self, now: Time, req: u32, channel: &ChannelId, refusal: &Refusal) {
        let retry = Duration::from_millis(refusal.retry_ms.into());
        if refusal.code == Code::RateLimited {
            if let Some(stream) = self.own.get_mut(channel) {
                stream.refused(req, now + if retry.is_zero() { RATE_RETRY } else { retry });
            }
            return;
        }
        let Some(post) = self.own.answered(channel, req) else { return };
        if refusal.code == Code::Duplicate && post.times > 1 {
            return self.say_sent(post, Done::default());
        }
        let why =
            Failure::Refused { code: refusal.code, retry: Some(retry).filter(|retry| !retry.is_zero()) };
        for ticket in post.tickets.into_iter().flatten() {
            self.send_failed(ticket, why);
        }
    }

    /// Questions that the server did not answer in time.
    pub(super) fn expire_requests(&mut self, now: Time) {
        while let Some((req, asked)) = self.requests.expired(now) {
            match asked {
                Asked::Publish(channel) => {
                    let post = self.own.answered(&channel, req);
                    for ticket in post.into_iter().flat_map(|post| post.tickets).flatten() {
                        self.send_failed(ticket, Failure::TimedOut);
                    }
                }
                Asked::Join(channels) => {
                    for id in channels {
                        if self.channels.get(&id).is_some_and(|one| one.membership == Membership::Asked(req))
                        {
                            self.channels.set(id, Membership::Wanted);
                        }
                    }
                }
                Asked::Leave(channel) => self.left(channel),
                // A server that does not answer gets it again with the next link or the next key.
                Asked::SetBundle => self.bundle_answered(),
                Asked::Lookup(user) => self.lookup_expired(user),
                Asked::Packet(_) => self.direct.stir(),
            }
        }
    }
}
