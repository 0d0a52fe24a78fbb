//! What clients ask for, and the answers. Source: `docs/protocol.md`, sections 4.2, 4.4, 5.1 and 5.2.

use crate::channels::Joined;
use crate::link::Verdict;
use crate::router::Incoming;
use crate::session::{MAX_CHANNELS, Pace, Session};
use crate::{Event, LinkId, Node, Output, Received, RefusedFor};
use darkchat_proto::{
    ChannelId, Code, DeviceId, Done, Features, Frame, Kind, Refusal, Resume, SessionId, UserId, Welcome,
};

impl Node {
    /// A client's link is complete and admitted.
    pub(crate) fn client_up(&mut self, link: LinkId, who: (UserId, DeviceId), resume: Option<&Resume>) {
        let (user, device) = who;
        let older = self.sessions.of_device(user, device);
        if let Some((old, resume)) = older.zip(resume)
            && self.resumable(link, old, resume)
        {
            return self.resume(link, old, resume.received);
        }
        let id = SessionId::new(self.cx.rng.next_16());
        let mut session = Session::new(user, device, id, self.config.profile);
        if self.resumes(link) {
            session.token = Some(self.cx.rng.next_16());
            self.links.keep_frames(link, 0);
        }
        if let Some(older) = self.sessions.insert(link, session) {
            self.close(older, Code::Conflict);
        }
        self.welcome_client(link, None);
        self.cx.event(Event::ClientUp { link, user });
    }

    /// Welcomes a client, whose session goes on if `received` says how many of its frames were processed.
    pub(crate) fn welcome_client(&mut self, link: LinkId, received: Option<u64>) {
        let Some(session) = self.sessions.get(link) else { return };
        let (id, resume_token) = (session.id, session.token);
        let resume_ms = u32::try_from(self.config.resume.as_millis()).unwrap_or(u32::MAX);
        let welcome = Welcome {
            session: Some(id),
            resume_token,
            resume_ms: resume_token.map_or(0, |_| resume_ms),
            observed_ip: self.links.get(link).map(|link| link.about.observed),
            resumed: received.is_some(),
            received: received.unwrap_or_default(),
        };
        self.send(link, &Frame::from(Kind::Welcome(welcome)));
    }

    /// A client's link is gone, or told to go, and its session with it.
    pub(crate) fn client_down(&mut self, link: LinkId, why: Code) {
        if let Some(user) = self.session_ended(link) {
            self.cx.event(Event::ClientDown { link, user, why });
        }
    }

    /// A session ends: it is in no channel any more. Whose it was.
    pub(crate) fn session_ended(&mut self, link: LinkId) -> Option<UserId> {
        let session = self.sessions.remove(link)?;
        for channel in &session.channels {
            if let Some(tag) = self.channels.leave(channel, link) {
                self.interest.unwant(self.cx.now, tag);
            }
        }
        self.joins.forget(link);
        if session.inbox.is_some() {
            self.unset_bundle(session.user);
        }
        Some(session.user)
    }

    /// A frame from a client.
    pub(crate) fn client_frame(&mut self, link: LinkId, received: Received) {
        if counts(&received)
            && let Some(session) = self.sessions.get_mut(link)
        {
            session.received = session.received.saturating_add(1);
        }
        match received {
            Received::Publish { req, post, deliver, digest } => {
                let channel = post.channel;
                self.publish(link, Incoming { req, channel, post: Some(&post), deliver, digest });
            }
            Received::SealedPublish { req, channel, stream: _, seq: _, deliver, digest } => {
                if self.links.get(link).is_some_and(|link| link.about.features.contains(Features::SEALED)) {
                    self.publish(link, Incoming { req, channel, post: None, deliver, digest });
                } else {
                    self.cx.stats.refuse(RefusedFor::Malformed);
                    self.refuse(link, req, Code::Unsupported, 0);
                }
            }
            Received::SetBundle { req, bundle, signed } => self.set_bundle(link, req, bundle, signed),
            Received::Refused { req, code, retry_ms } => self.client_refused(link, req, code, retry_ms),
            Received::Held { req, retry_ms } => {
                self.cx.stats.refuse(RefusedFor::Rate);
                self.refuse(link, req, Code::RateLimited, retry_ms);
            }
            Received::Other(frame) => self.client_asks(link, frame),
            Received::Record { .. } | Received::Shard { .. } | Received::Route { .. } => {
                self.close(link, Code::BadFrame);
            }
        }
    }

    /// A check or a meter of the link's task said no.
    fn client_refused(&mut self, link: LinkId, req: u32, code: Code, retry_ms: u32) {
        self.cx.stats.refuse(RefusedFor::of(code));
        match code {
            Code::BadFrame | Code::TooLarge => self.close(link, code),
            Code::BadSignature | Code::Unauthorized => {
                self.refuse(link, req, code, 0);
                self.close(link, code);
            }
            Code::RateLimited => self.refuse_for_rate(link, req, retry_ms),
            code => self.refuse(link, req, code, retry_ms),
        }
    }

    fn refuse_for_rate(&mut self, link: LinkId, req: u32, retry_ms: u32) {
        let now = self.cx.now;
        self.refuse(link, req, Code::RateLimited, retry_ms);
        if self.sessions.get_mut(link).is_some_and(|session| session.refuse_for_rate(now)) {
            self.close(link, Code::RateLimited);
        }
    }

    fn client_asks(&mut self, link: LinkId, frame: Frame) {
        let Frame { req, re: _, critical, kind } = frame;
        match kind {
            Kind::Unknown(_) => {
                if req != 0 || critical {
                    self.reply_always(link, req, Code::Unsupported);
                }
            }
            kind if !kind.is_from_client() => self.close(link, Code::BadFrame),
            Kind::Join { channels, wait_spread } => self.join(link, req, &channels, wait_spread),
            Kind::Leave { channels } => self.leave(link, req, &channels),
            Kind::Ping { nonce, acked } => {
                self.links.acked(link, acked);
                let acked = self.sessions.get(link).map_or(0, |session| session.received);
                self.send(link, &Frame::replying(req, Kind::Pong { nonce, acked }));
            }
            Kind::Goodbye(goodbye) => self.close_silently(link, goodbye.code),
            Kind::Pong { nonce: _, acked } => {
                self.links.acked(link, acked);
                self.reply(link, req, Kind::Ok(Done::default()));
            }
            Kind::Error(_) => self.reply(link, req, Kind::Ok(Done::default())),
            Kind::Lookup { user } => self.look_up(link, req, user),
            Kind::SendDm(dm) => self.send_dm(link, req, dm),
            Kind::DmReject { delivery, code } => {
                self.reject_dm(link, delivery, code);
                self.reply(link, req, Kind::Ok(Done::default()));
            }
            // Publish and SetBundle come with their proofs and never here; the others are not offered.
            _ => self.refuse(link, req, Code::Unsupported, 0),
        }
    }

    fn join(&mut self, link: LinkId, req: u32, channels: &[ChannelId], wait_spread: bool) {
        if !self.pace(link, req, channels.len()) {
            return;
        }
        match self.take_into(link, channels) {
            Err(code) => self.refuse(link, req, code, 0),
            Ok(()) if wait_spread => self.await_spread(link, req, channels),
            Ok(()) => self.reply(link, req, Kind::Ok(Done::default())),
        }
    }

    /// Takes a session into channels, into all or into none.
    fn take_into(&mut self, link: LinkId, channels: &[ChannelId]) -> Result<(), Code> {
        let slot = self.links.slot(link).ok_or(Code::Internal)?;
        let session = self.sessions.get_mut(link).ok_or(Code::Internal)?;
        let mut joined: Vec<ChannelId> = Vec::new();
        let mut outcome = Ok(());
        for channel in channels {
            if !session.channels.insert(*channel) {
                continue;
            }
            let wanted = if session.channels.len() > MAX_CHANNELS {
                false
            } else {
                match self.channels.join(&self.config.network, *channel, link, slot) {
                    Joined::First(tag) => self.interest.want(self.cx.now, tag),
                    Joined::Others => true,
                    Joined::Full => false,
                }
            };
            if !wanted {
                // What was not wanted must not be unwanted.
                session.channels.remove(channel);
                self.channels.leave(channel, link);
                outcome = Err(Code::Limit);
                break;
            }
            joined.push(*channel);
        }
        if outcome.is_err() {
            for channel in joined {
                self.take_out_of(link, &channel);
            }
        }
        outcome
    }

    fn take_out_of(&mut self, link: LinkId, channel: &ChannelId) {
        let Some(session) = self.sessions.get_mut(link) else { return };
        if session.channels.remove(channel)
            && let Some(tag) = self.channels.leave(channel, link)
        {
            self.interest.unwant(self.cx.now, tag);
        }
    }

    fn leave(&mut self, link: LinkId, req: u32, channels: &[ChannelId]) {
        if !self.pace(link, req, channels.len()) {
            return;
        }
        for channel in channels {
            self.take_out_of(link, channel);
        }
        self.reply(link, req, Kind::Ok(Done::default()));
    }

    /// Counts channels joined or left; `false`: over the budget, and answered.
    fn pace(&mut self, link: LinkId, req: u32, channels: usize) -> bool {
        let now = self.cx.now;
        let Some(session) = self.sessions.get_mut(link) else { return false };
        let pace = session.pace_joins(now, channels);
        self.paced(link, req, pace)
    }

    /// Does what a budget says; `false`: the request is over it, and answered.
    pub(crate) fn paced(&mut self, link: LinkId, req: u32, pace: Pace) -> bool {
        match pace {
            Pace::Go => true,
            Pace::PauseUntil(until) => {
                self.cx.out.push_back(Output::Pause { link, until });
                true
            }
            Pace::Refuse(retry_ms) => {
                self.refuse_for_rate(link, req, retry_ms);
                false
            }
        }
    }

    /// Sends a frame that is not a message.
    pub(crate) fn send(&mut self, link: LinkId, frame: &Frame) {
        if let Verdict::Close(code) = self.links.send(&mut self.cx, link, frame) {
            self.close(link, code);
        }
    }

    /// Answers, if an answer is wanted.
    pub(crate) fn reply(&mut self, link: LinkId, req: u32, kind: Kind) {
        if req != 0 {
            self.send(link, &Frame::replying(req, kind));
        }
    }

    /// Refuses: tells the operator, and the asker if an answer is wanted.
    pub(crate) fn refuse(&mut self, link: LinkId, req: u32, code: Code, retry_ms: u32) {
        self.cx.refused(link, code);
        self.reply(link, req, Kind::Error(Refusal { code, text: String::new(), retry_ms }));
    }

    /// Refuses with an `Error` even where no answer was asked for.
    pub(crate) fn reply_always(&mut self, link: LinkId, req: u32, code: Code) {
        self.cx.refused(link, code);
        let refusal = Refusal { code, text: String::new(), retry_ms: 0 };
        self.send(link, &Frame::replying(req, Kind::Error(refusal)));
    }
}

/// Whether a frame counts in its session. What a link's task refuses and answers is a request, so it does.
const fn counts(received: &Received) -> bool {
    match received {
        Received::Other(frame) => frame.kind.counts_from_client(),
        _ => true,
    }
}
