//! The server's half of a link, as its task does it: frames out of bytes, budgets, form, author and signature.

use crate::Signing;
use bytes::Bytes;
use darkchat_crypto::VerifyError;
use darkchat_node::{Check, Meter, Received, Verdict};
use darkchat_proto::limits::SEALED_ENTRY;
use darkchat_proto::{
    Bundle, Class, Code, Content, DecodeError, Deliver, Digest16, Frame, FrameStream, Kind, Network, Post,
    PostHead, Route, RouterId, SealedHead, Signed, Time, UserId,
};
use std::collections::VecDeque;
use std::time::Duration;

/// What the node is to get, and when.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) received: Received,
    /// The frame's bytes, for the trace and the checks; empty for the second part of one frame.
    pub(crate) bytes: Bytes,
}

/// Reads one link at a server.
#[derive(Debug)]
pub(crate) struct Task {
    signing: Signing,
    network: Network,
    router: RouterId,
    /// The client's key; `None` on a peer's link.
    user: Option<UserId>,
    meter: Meter,
    stream: FrameStream,
    /// Judged, and waiting for their budget.
    ready: VecDeque<Handed>,
    /// Nothing is read before.
    pub(crate) wait_until: Time,
    /// One in how many posts of a peer is verified.
    pub(crate) every: u32,
    unchecked: u32,
    /// Nothing behind a fault counts.
    is_over: bool,
}

impl Task {
    pub(crate) fn new(signing: Signing, router: RouterId, user: Option<UserId>, meter: Meter) -> Self {
        Self {
            signing,
            network: Network::default(),
            router,
            user,
            meter,
            stream: FrameStream::default(),
            ready: VecDeque::new(),
            wait_until: Time::ZERO,
            every: 16,
            unchecked: 0,
            is_over: false,
        }
    }

    /// Whether the other end is a server, or says so.
    pub(crate) const fn is_peer(&self) -> bool {
        self.user.is_none()
    }

    /// Bytes that arrived.
    pub(crate) fn push(&mut self, now: Time, run: Bytes) {
        let verdict = self.meter.unit(now, run.len());
        self.hold(now, verdict);
        self.stream.push(run);
    }

    /// The next thing for the node; `None` until more arrives or [`wait_until`](Self::wait_until) has come.
    pub(crate) fn next(&mut self, now: Time) -> Option<Handed> {
        loop {
            if now < self.wait_until || self.is_over {
                return None;
            }
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            match self.stream.next_frame() {
                Ok(None) => return None,
                Ok(Some(bytes)) => self.judge(now, bytes),
                Err(error) => self.give(refused(0, error.code()), Bytes::new()),
            }
            self.is_over |= matches!(&self.ready.back(), Some(Handed { received: Received::Refused { code, .. }, .. })
                if matches!(code, Code::BadFrame | Code::TooLarge));
            if self.is_over {
                return self.ready.pop_front();
            }
        }
    }

    fn hold(&mut self, now: Time, verdict: Verdict) {
        let wait = match verdict {
            Verdict::Wait(wait) => wait,
            Verdict::Refuse { retry_ms } if self.user.is_some() => Duration::from_millis(retry_ms.into()),
            _ => return,
        };
        self.wait_until = self.wait_until.max(now + wait);
    }

    fn give(&mut self, received: Received, bytes: Bytes) {
        self.ready.push_back(Handed { received, bytes });
    }

    fn judge(&mut self, now: Time, bytes: Bytes) {
        let verdict = self.meter.frame(now);
        let frame = match Frame::decode(bytes.clone()) {
            Ok(frame) => frame,
            Err(error) => return self.give(refused(0, error.code()), bytes),
        };
        if let Verdict::Refuse { retry_ms } = verdict
            && (if self.user.is_some() { frame.kind.counts_from_client() } else { is_post(&frame.kind) })
        {
            let received = Received::Refused { req: frame.req, code: Code::RateLimited, retry_ms };
            return self.give(received, bytes);
        }
        self.hold(now, verdict);
        match self.user {
            Some(user) => self.of_client(now, user, frame, bytes),
            None => self.of_peer(frame, bytes),
        }
    }

    fn of_client(&mut self, now: Time, user: UserId, frame: Frame, bytes: Bytes) {
        let known = !matches!(frame.kind, Kind::Unknown(_));
        let received = match (frame.req, frame.kind) {
            (req, kind) if known && !kind.is_from_client() => refused(req, Code::BadFrame),
            (req, Kind::Publish { deliver }) => {
                self.publish(now, user, req, deliver).unwrap_or_else(|Fault(code)| refused(req, code))
            }
            (req, Kind::SetBundle { bundle }) => {
                self.set_bundle(user, req, bundle).unwrap_or_else(|Fault(code)| refused(req, code))
            }
            (req, kind) => Received::Other(Frame { req, kind, ..frame }),
        };
        self.give(received, bytes);
    }

    fn publish(&mut self, now: Time, user: UserId, req: u32, deliver: Bytes) -> Result<Received, Fault> {
        let Deliver { channel, content } = Deliver::decode(deliver.clone())?;
        let digest = Digest16::of(&deliver);
        let signed = match content {
            Content::Public(signed) => signed,
            Content::Sealed(sealed) => {
                let head = SealedHead::decode(&sealed)?;
                let (stream, seq) = (head.stream, head.seq);
                let entries = sealed.len().div_ceil(SEALED_ENTRY);
                let pass = Received::SealedPublish { req, channel, stream, seq, deliver, digest };
                return Ok(self.budget(now, stream, seq, entries, req).unwrap_or(pass));
            }
            _ => return Err(Fault(Code::Unsupported)),
        };
        let head = PostHead::decode(&signed.body)?;
        let entries = usize::try_from(head.entries).unwrap_or(usize::MAX);
        if let Some(refused) = self.budget(now, head.stream, head.seq, entries, req) {
            return Ok(refused);
        }
        if head.author != user {
            Post::decode(signed.body)?;
            return Err(Fault(Code::Unauthorized));
        }
        let post = self.signing.post(&self.network, &signed)?;
        if post.channel != channel {
            return Err(Fault(Code::BadFrame));
        }
        Ok(Received::Publish { req, post, deliver, digest })
    }

    /// How a post is refused, if it is; else it waits for its tokens.
    fn budget(&mut self, now: Time, stream: u64, seq: u64, entries: usize, req: u32) -> Option<Received> {
        match self.meter.post(now, stream, seq, entries) {
            Verdict::Refuse { retry_ms } => {
                Some(Received::Refused { req, code: Code::RateLimited, retry_ms })
            }
            Verdict::Hold { retry_ms } => Some(Received::Held { req, retry_ms }),
            verdict => {
                self.hold(now, verdict);
                None
            }
        }
    }

    fn set_bundle(&self, user: UserId, req: u32, signed: Bytes) -> Result<Received, Fault> {
        let bundle = Signed::decode(signed.clone())?;
        if Bundle::decode(bundle.body.clone())?.user != user {
            return Err(Fault(Code::Unauthorized));
        }
        Ok(Received::SetBundle { req, bundle: self.signing.bundle(&self.network, &bundle)?, signed })
    }

    fn of_peer(&mut self, frame: Frame, bytes: Bytes) {
        let known = !matches!(frame.kind, Kind::Unknown(_));
        let received = match (frame.req, frame.kind) {
            (req, kind) if known && !kind.is_from_peer() => refused(req, Code::BadFrame),
            (_, Kind::Route(route)) => return self.route(route, bytes),
            (req, Kind::Record(signed)) => {
                let checked = decode(&signed).and_then(|body| self.signing.record(&self.network, &body).ok());
                match checked {
                    Some(record) => Received::Record { record: record.shared(), signed },
                    None => refused(req, Code::BadSignature),
                }
            }
            (req, Kind::Shard(signed)) => {
                let checked = decode(&signed).and_then(|body| self.signing.shard(&self.network, &body).ok());
                match checked {
                    Some(shard) => Received::Shard { shard, signed },
                    None => refused(req, Code::BadSignature),
                }
            }
            (req, kind) => Received::Other(Frame { req, kind, ..frame }),
        };
        self.give(received, bytes);
    }

    fn route(&mut self, route: Route, bytes: Bytes) {
        let Route { head, payload } = route;
        let is_ours = head.dst.contains(&self.router);
        let (mut check, mut channel) = (Check::NotChecked, None);
        match head.class {
            Class::Channel => {
                if let Ok(deliver) = Deliver::decode(payload.clone()) {
                    channel = Some(deliver.channel);
                    check = self.sample(&deliver, is_ours);
                }
            }
            Class::Shard if is_ours => {
                let shard = decode(&payload).and_then(|body| self.signing.shard(&self.network, &body).ok());
                check = if shard.is_some() { Check::Good } else { Check::Bad };
                if let Some(shard) = shard {
                    self.give(Received::Shard { shard, signed: payload.clone() }, Bytes::new());
                }
            }
            _ => {}
        }
        let digest = Digest16::of(&payload);
        self.give(Received::Route { head, payload, digest, check, channel }, bytes);
    }

    fn sample(&mut self, deliver: &Deliver, is_ours: bool) -> Check {
        let Content::Public(signed) = &deliver.content else { return Check::NotChecked };
        let wanted = self.every == 1 || (self.every > 1 && is_ours);
        if !wanted {
            return Check::NotChecked;
        }
        self.unchecked += 1;
        if self.unchecked < self.every {
            return Check::NotChecked;
        }
        self.unchecked = 0;
        match self.signing.post(&self.network, signed) {
            Ok(post) if post.channel == deliver.channel => Check::Good,
            _ => Check::Bad,
        }
    }
}

const fn is_post(kind: &Kind) -> bool {
    matches!(kind, Kind::Route(route) if matches!(route.head.class, Class::Channel))
}

const fn refused(req: u32, code: Code) -> Received {
    Received::Refused { req, code, retry_ms: 0 }
}

fn decode(signed: &Bytes) -> Option<Signed> {
    Signed::decode(signed.clone()).ok()
}

/// What is wrong with something that a client signed.
struct Fault(Code);

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self(error.code())
    }
}

impl From<VerifyError> for Fault {
    fn from(error: VerifyError) -> Self {
        Self(error.code())
    }
}
