//! From the bytes of a frame to what the node may know of it: meters, form, author and signature, in this order.
//!
//! Pure: it has no clock and no socket, and asks for waits instead of waiting. Source: `docs/protocol.md`, sections
//! 4.2, 6.2 and 10.1.

use bytes::Bytes;
use darkchat_crypto::{Fingerprints, Verified, VerifyError, verify};
use darkchat_node::{Check, Meter, Received, Verdict};
use darkchat_proto::limits::{MAX_BUNDLE, SEALED_ENTRY};
use darkchat_proto::{
    Bundle, Class, Code, Content, DecodeError, Deliver, Frame, Kind, Network, Post, PostHead, Route,
    RouterId, SealedHead, Signed, Time, UserId,
};
use std::sync::Arc;
use std::time::Duration;

/// Who is at the other end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client(UserId),
    Peer,
}

/// What becomes of a frame.
#[derive(Debug)]
#[must_use]
pub(crate) struct Checked {
    /// How long it waits, and all that is behind it.
    pub(crate) wait: Duration,
    /// What the node gets: one thing, or a shard and the route that brought it.
    pub(crate) hand: (Received, Option<Received>),
    /// Whether the node will end the link for it: nothing behind it counts.
    pub(crate) is_fatal: bool,
}

impl Checked {
    const fn one(received: Received) -> Self {
        Self { wait: Duration::ZERO, hand: (received, None), is_fatal: false }
    }

    const fn refused(req: u32, code: Code) -> Self {
        Self::one(Received::Refused { req, code, retry_ms: 0 })
    }

    /// Ends the link.
    pub(crate) fn fatal(req: u32, code: Code) -> Self {
        Self { is_fatal: true, ..Self::refused(req, code) }
    }

    fn after(self, wait: Duration) -> Self {
        Self { wait: self.wait.max(wait), ..self }
    }
}

/// Checks what comes in on one link.
#[derive(Debug)]
pub(crate) struct Checker {
    network: Network,
    /// By which this server knows posts again.
    fingerprints: Arc<Fingerprints>,
    /// This server.
    router: RouterId,
    side: Side,
    meter: Meter,
    /// Public posts for us since the last one that was checked.
    unchecked: u32,
    goodbye: Option<Code>,
}

impl Checker {
    pub(crate) const fn new(
        network: Network,
        fingerprints: Arc<Fingerprints>,
        router: RouterId,
        side: Side,
        meter: Meter,
    ) -> Self {
        Self { network, fingerprints, router, side, meter, unchecked: 0, goodbye: None }
    }

    /// The reason of the goodbye that the other side has said.
    pub(crate) const fn goodbye(&self) -> Option<Code> {
        self.goodbye
    }

    /// Counts a unit; returns how long it waits.
    pub(crate) fn unit(&mut self, now: Time, len: usize) -> Duration {
        let verdict = self.meter.unit(now, len);
        self.wait(verdict)
    }

    /// Counts a record without plaintext; returns how long the next one waits.
    pub(crate) fn empty_record(&mut self, now: Time) -> Duration {
        let verdict = self.meter.frame(now);
        self.wait(verdict)
    }

    /// What is not refused by answering it is refused by waiting. Reading from a peer is never paused.
    fn wait(&self, verdict: Verdict) -> Duration {
        match (self.side, verdict) {
            (Side::Client(_), Verdict::Wait(wait)) => wait,
            (Side::Client(_), Verdict::Refuse { retry_ms }) => Duration::from_millis(retry_ms.into()),
            _ => Duration::ZERO,
        }
    }

    /// Judges a frame. `held` is the length of the buffer that its bytes share; `one_in` says how many public posts
    /// of a peer there are to one that is verified.
    pub(crate) fn frame(&mut self, now: Time, bytes: Bytes, held: usize, one_in: u32) -> Checked {
        let verdict = self.meter.frame(now);
        let frame = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => return Checked::fatal(0, error.code()),
        };
        let wait = self.wait(verdict);
        if let Verdict::Refuse { retry_ms } = verdict
            && let Some(code) = self.over_budget(&frame.kind)
        {
            return Checked::one(Received::Refused { req: frame.req, code, retry_ms });
        }
        match self.side {
            Side::Client(user) => self.of_client(now, user, frame, held).after(wait),
            Side::Peer => self.of_peer(frame, held, one_in),
        }
    }

    /// What is refused over budget, and how. Of a peer messages, and what would cost a signature check here or where it
    /// ends and is told again; the rest keeps the network together. What counts in a client's session is refused; the
    /// rest waits, so that whatever is refused counts (5.4).
    const fn over_budget(&self, kind: &Kind) -> Option<Code> {
        match (self.side, kind) {
            (Side::Client(_), kind) if kind.counts_from_client() => Some(Code::RateLimited),
            (Side::Peer, Kind::Route(route))
                if matches!(route.head.class, Class::Channel | Class::Dm | Class::Shard) =>
            {
                Some(Code::RateLimited)
            }
            (Side::Peer, Kind::Record(_) | Kind::Shard(_)) => Some(Code::Limit),
            _ => None,
        }
    }

    fn of_client(&mut self, now: Time, user: UserId, frame: Frame, held: usize) -> Checked {
        if !frame.kind.is_from_client() && !matches!(frame.kind, Kind::Unknown(_)) {
            return Checked::fatal(frame.req, Code::BadFrame);
        }
        let req = frame.req;
        match frame.kind {
            Kind::Publish { deliver } => self.publish(now, user, req, own(deliver, held)),
            Kind::SetBundle { bundle } => self.set_bundle(user, req, own(bundle, held)),
            Kind::SendDm(mut packet) => {
                packet.packet = own(packet.packet, held);
                Checked::one(Received::Other(Frame { kind: Kind::SendDm(packet), ..frame }))
            }
            kind => self.other(Frame { kind, ..frame }),
        }
    }

    fn of_peer(&mut self, frame: Frame, held: usize, one_in: u32) -> Checked {
        if !frame.kind.is_from_peer() && !matches!(frame.kind, Kind::Unknown(_)) {
            return Checked::fatal(frame.req, Code::BadFrame);
        }
        let req = frame.req;
        match frame.kind {
            Kind::Route(route) => self.route(route, held, one_in),
            Kind::Record(signed) => {
                let signed = own(signed, held);
                match verified(&signed, |record| verify::record(&self.network, record)) {
                    Ok(record) => Checked::one(Received::Record { record: record.shared(), signed }),
                    Err(fault) => fault.of_neighbour(req),
                }
            }
            Kind::Shard(signed) => {
                let signed = own(signed, held);
                match verified(&signed, |shard| verify::shard(&self.network, shard)) {
                    Ok(shard) => Checked::one(Received::Shard { shard, signed }),
                    Err(fault) => fault.of_neighbour(req),
                }
            }
            kind => self.other(Frame { kind, ..frame }),
        }
    }

    fn other(&mut self, frame: Frame) -> Checked {
        if let Kind::Goodbye(goodbye) = &frame.kind {
            self.goodbye = Some(goodbye.code);
        }
        Checked::one(Received::Other(frame))
    }

    /// The checks of section 6.2, in its order; the rest of them is the node's.
    fn publish(&mut self, now: Time, user: UserId, req: u32, deliver: Bytes) -> Checked {
        match self.judge_post(now, user, req, &deliver) {
            Ok(checked) => checked,
            Err(Fault(code)) => Checked::fatal(req, code),
        }
    }

    fn judge_post(&mut self, now: Time, user: UserId, req: u32, deliver: &Bytes) -> Result<Checked, Fault> {
        let Deliver { channel, content } = Deliver::decode(deliver.clone())?;
        let signed = match content {
            Content::Public(signed) => signed,
            Content::Sealed(sealed) => {
                let SealedHead { stream, seq, .. } = SealedHead::decode(&sealed)?;
                let wait = match self.budget(now, stream, seq, sealed.len().div_ceil(SEALED_ENTRY)) {
                    Ok(wait) => wait,
                    Err(over) => return Ok(over.refuse(req)),
                };
                let (deliver, digest) = (deliver.clone(), self.fingerprints.of(deliver));
                let received = Received::SealedPublish { req, channel, stream, seq, deliver, digest };
                return Ok(Checked::one(received).after(wait));
            }
            _ => return Err(Fault(Code::Unsupported)),
        };
        let head = PostHead::decode(&signed.body)?;
        let entries = usize::try_from(head.entries).unwrap_or(usize::MAX);
        let wait = match self.budget(now, head.stream, head.seq, entries) {
            Ok(wait) => wait,
            Err(over) => return Ok(over.refuse(req)),
        };
        if head.author != user {
            // Form comes before authorship, so a post that is wrong in both ways is malformed.
            Post::decode(signed.body)?;
            return Err(Fault(Code::Unauthorized));
        }
        let post = verify::post(&self.network, &signed)?;
        if post.channel != channel {
            return Err(Fault(Code::BadFrame));
        }
        let (deliver, digest) = (deliver.clone(), self.fingerprints.of(deliver));
        Ok(Checked::one(Received::Publish { req, post, deliver, digest }).after(wait))
    }

    /// How long a post waits for its budget.
    fn budget(&mut self, now: Time, stream: u64, seq: u64, entries: usize) -> Result<Duration, OverBudget> {
        match self.meter.post(now, stream, seq, entries) {
            Verdict::Wait(wait) => Ok(wait),
            Verdict::Refuse { retry_ms } => Err(OverBudget { retry_ms, is_held: false }),
            Verdict::Hold { retry_ms } => Err(OverBudget { retry_ms, is_held: true }),
            _ => Ok(Duration::ZERO),
        }
    }

    fn set_bundle(&self, user: UserId, req: u32, signed: Bytes) -> Checked {
        let judge = || {
            if signed.len() > MAX_BUNDLE {
                return Err(Fault(Code::TooLarge));
            }
            let bundle = Signed::decode(signed.clone())?;
            if Bundle::decode(bundle.body.clone())?.user != user {
                return Err(Fault(Code::Unauthorized));
            }
            Ok(verify::bundle(&self.network, &bundle)?)
        };
        match judge() {
            Ok(bundle) => Checked::one(Received::SetBundle { req, bundle, signed }),
            Err(Fault(code)) => Checked::fatal(req, code),
        }
    }

    fn route(&mut self, route: Route, held: usize, one_in: u32) -> Checked {
        let Route { head, payload } = route;
        let payload = own(payload, held);
        let digest = self.fingerprints.of(&payload);
        let is_ours = head.dst.contains(&self.router);
        let (mut check, mut channel, mut shard) = (Check::NotChecked, None, None);
        match head.class {
            Class::Channel => {
                if let Ok(deliver) = Deliver::decode(payload.clone()) {
                    channel = Some(deliver.channel);
                    check = self.sample(&deliver, is_ours, one_in);
                }
            }
            Class::Shard if is_ours => {
                shard = verified(&payload, |shard| verify::shard(&self.network, shard)).ok();
                check = if shard.is_some() { Check::Good } else { Check::Bad };
            }
            _ => {}
        }
        let route = Received::Route { head, payload: payload.clone(), digest, check, channel };
        match shard {
            Some(shard) => {
                let hand = (Received::Shard { shard, signed: payload }, Some(route));
                Checked { wait: Duration::ZERO, hand, is_fatal: false }
            }
            None => Checked::one(route),
        }
    }

    /// Verifies a public post if its turn has come: all of them, or one in so many of those for us.
    fn sample(&mut self, deliver: &Deliver, is_ours: bool, one_in: u32) -> Check {
        let Content::Public(signed) = &deliver.content else { return Check::NotChecked };
        let is_wanted = match one_in {
            0 => false,
            1 => true,
            _ => is_ours,
        };
        if !is_wanted {
            return Check::NotChecked;
        }
        self.unchecked = self.unchecked.saturating_add(1);
        if self.unchecked < one_in {
            return Check::NotChecked;
        }
        self.unchecked = 0;
        match verify::post(&self.network, signed) {
            Ok(post) if post.channel == deliver.channel => Check::Good,
            _ => Check::Bad,
        }
    }
}

/// A post that is refused without a look at what it says.
struct OverBudget {
    retry_ms: u32,
    /// Only because an earlier one of its stream was.
    is_held: bool,
}

impl OverBudget {
    const fn refuse(self, req: u32) -> Checked {
        let Self { retry_ms, is_held } = self;
        Checked::one(if is_held {
            Received::Held { req, retry_ms }
        } else {
            Received::Refused { req, code: Code::RateLimited, retry_ms }
        })
    }
}

/// Something signed, if its signer's key says so.
fn verified<T>(
    signed: &Bytes,
    verify: impl FnOnce(&Signed) -> Result<Verified<T>, VerifyError>,
) -> Result<Verified<T>, Fault> {
    Ok(verify(&Signed::decode(signed.clone())?)?)
}

/// What is wrong with something signed.
struct Fault(Code);

impl Fault {
    /// A neighbour verifies what it passes on (9.2), so a wrong signature is its own doing and ends the link. Something of
    /// another form may be of a later version.
    fn of_neighbour(self, req: u32) -> Checked {
        match self {
            Self(Code::BadSignature) => Checked::fatal(req, Code::BadSignature),
            Self(_) => Checked::refused(req, Code::Unsupported),
        }
    }
}

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

/// A payload that outlives its read: copied once into a buffer of its own, unless it fills half of the shared one.
fn own(payload: Bytes, held: usize) -> Bytes {
    if payload.len().saturating_mul(2) >= held { payload } else { Bytes::copy_from_slice(&payload) }
}

#[cfg(test)]
mod tests;
