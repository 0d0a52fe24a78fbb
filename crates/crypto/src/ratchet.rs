//! The double ratchet: every direct message has a key of its own, and what was stolen heals. Source: `docs/protocol.md`, 7.4.
//!
//! ```text
//! who called:    Calling::establish ───▶ Ratchet ── seal, open
//! who answered:  Answering::establish ─▶ HalfOpen ── open, once ─▶ Ratchet
//! ```
//!
//! Each side has a pair of X25519 keys. Every message names its sender's; the first one with a new name turns the
//! root key by an agreement with it, and the receiver answers with a new pair of its own. So a chain of keys
//! lasts from one change of direction to the next: a thief of the state reads until then, and nothing from before.
//!
//! A packet that does not open changes nothing, and says nothing about why. A state cannot be copied: two
//! copies would seal two messages with one key.
//!
//! ```compile_fail
//! fn copy(ratchet: &darkchat_crypto::ratchet::Ratchet) -> darkchat_crypto::ratchet::Ratchet {
//!     ratchet.clone()
//! }
//! ```

mod chain;
mod skipped;

use crate::OpenError;
use crate::aead::TAG;
use crate::dh::{NotContributory, StaticKey};
use crate::direct::DirectKeys;
use crate::kdf::{Secret, derive};
use crate::label::{DIRECT_MESSAGE, DIRECT_RATCHET};
use bytes::Bytes;
use chain::{Chain, MessageKey};
use darkchat_proto::limits::MAX_PACKET;
use darkchat_proto::{DirectHead, DirectId, Packet, Time};
use data_encoding::HEXLOWER;
use rand_core::CryptoRng;
use skipped::Skipped;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// The most messages of one step that are stepped over: in a network without storage a gap is a loss.
pub const MAX_STEP: u32 = 512;
/// The most keys of messages that were stepped over and may still come.
pub const MAX_SKIPPED: usize = 1_024;
/// How long such a key is kept: longer than anything is on its way.
pub const SKIPPED_AGE: Duration = Duration::from_secs(600);
/// The most plaintext of one message, in bytes: what a packet leaves after its head and tag.
pub const MAX_PLAIN: usize = MAX_PACKET - 1 - 48 - TAG;
/// Messages sent without a word from the other side, after which a new handshake is due.
const RENEW_MESSAGES: u32 = 1_000;
/// The time of sending without a word from the other side, after which a new handshake is due.
const RENEW_SILENCE: Duration = Duration::from_secs(3_600);
/// The age of a session at which a new handshake is due.
const RENEW_AGE: Duration = Duration::from_secs(24 * 3_600);

/// Why a message was not sealed. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Too much for one packet; say less at once.
    #[error("a direct message holds at most {max} bytes: {len}")]
    TooLong {
        /// The plaintext's length in bytes.
        len: usize,
        /// The most that fits, in bytes.
        max: usize,
    },
    /// This chain has no numbers left; begin a new session.
    #[error("the session has no message numbers left")]
    Exhausted,
}

/// What a session has from its handshake, and the root key that turns with every step.
struct Session {
    id: DirectId,
    hash: [u8; 32],
    root: Secret,
    /// Our ratchet pair.
    own: StaticKey,
}

/// `KDF_RK`: the next root key, and the chain that begins with it.
fn turn(root: &Secret, own: &StaticKey, theirs: &[u8; 32]) -> Result<(Secret, Chain), NotContributory> {
    let shared = own.agree(theirs)?;
    let both = derive::<64>(root.as_slice(), shared.as_slice(), DIRECT_RATCHET);
    let mut halves = [Zeroizing::new([0; 32]), Zeroizing::new([0; 32])];
    for (half, bytes) in halves.iter_mut().zip(both.as_chunks::<32>().0) {
        half.copy_from_slice(bytes);
    }
    let [root, chain] = halves;
    Ok((root, Chain::new(chain)))
}

/// `"dchat/1/dm-msg" 0x00 ‖ handshake hash ‖ head`
fn associated(hash: &[u8; 32], head: &DirectHead) -> Vec<u8> {
    [DIRECT_MESSAGE, hash.as_slice(), &head.to_bytes()].concat()
}

/// What a message would change, were it good.
struct Plan {
    /// The root and our side's way on, if the other side has a new key.
    turned: Option<Secret>,
    receiving: Chain,
    skipped: Vec<(u32, MessageKey)>,
    /// Of the chain before this one.
    skipped_before: Vec<(u32, MessageKey)>,
    key: MessageKey,
}

impl Session {
    fn new(keys: &DirectKeys, own: StaticKey) -> Self {
        Self { id: keys.session(), hash: *keys.hash(), root: Zeroizing::new(*keys.root()), own }
    }

    /// Derives the key of a message with this head. `theirs` and `receiving` are the chain that we receive on.
    fn plan(&self, theirs: Option<&[u8; 32]>, receiving: Option<&Chain>, head: &DirectHead) -> Option<Plan> {
        let DirectHead { session, dh, previous, number } = head;
        if *session != self.id {
            return None;
        }
        let (turned, mut chain, skipped_before) = if theirs == Some(dh) {
            let chain = receiving?;
            (None, chain.ahead(*number)?, Vec::new())
        } else {
            // Both jumps are judged before any key is derived.
            if *number > MAX_STEP {
                return None;
            }
            let before = match receiving {
                Some(chain) if *previous > chain.number() => chain.ahead(*previous)?.skip_to(*previous)?,
                _ => Vec::new(),
            };
            let (root, chain) = turn(&self.root, &self.own, dh).ok()?;
            (Some(root), chain, before)
        };
        let skipped = chain.skip_to(*number)?;
        let (_, key) = chain.step()?;
        Some(Plan { turned, receiving: chain, skipped, skipped_before, key })
    }

    /// Our side's turn after the other's: a new pair, and the chain that we send on from now.
    fn answer(&mut self, turned: &Secret, theirs: &[u8; 32], rng: &mut impl CryptoRng) -> Option<Chain> {
        let fresh = StaticKey::generate(rng);
        let (root, sending) = turn(turned, &fresh, theirs).ok()?;
        self.root = root;
        self.own = fresh;
        Some(sending)
    }
}

/// A session that was answered, until its first message comes. It cannot send.
///
/// At most 64 of them are kept per device, for 30 s (7.3).
pub struct HalfOpen {
    session: Session,
    began: Time,
}

impl HalfOpen {
    /// The state of who answered, with the ratchet pair whose public half RESP named.
    #[must_use]
    pub fn new(keys: &DirectKeys, ratchet: StaticKey, now: Time) -> Self {
        Self { session: Session::new(keys, ratchet), began: now }
    }

    /// The session's name in its packets.
    #[must_use]
    pub const fn id(&self) -> DirectId {
        self.session.id
    }

    /// When it was answered.
    #[must_use]
    pub const fn began(&self) -> Time {
        self.began
    }

    /// Opens the first message; the ratchet that it returns takes this one's place. Takes 32 bytes of randomness if
    /// the message is good.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed, and the first message may still come.
    pub fn open(
        &self,
        now: Time,
        head: &DirectHead,
        sealed: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Ratchet, Bytes), OpenError> {
        let Session { id, hash, root, own } = &self.session;
        let plan = self.session.plan(None, None, head).ok_or(OpenError::Refused)?;
        let plain = plan.key.open(&associated(hash, head), sealed)?;
        let mut session = Session { id: *id, hash: *hash, root: root.clone(), own: own.clone() };
        let turned = plan.turned.as_ref().ok_or(OpenError::Refused)?;
        let sending = session.answer(turned, &head.dh, rng).ok_or(OpenError::Refused)?;
        let mut skipped = Skipped::default();
        skipped.keep(head.dh, plan.skipped, now);
        let ratchet = Ratchet {
            session,
            theirs: head.dh,
            sending,
            receiving: Some(plan.receiving),
            previous: 0,
            skipped,
            began: self.began,
            unanswered: None,
        };
        Ok((ratchet, plain))
    }
}

impl fmt::Debug for HalfOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, began: _ } = self;
        let Session { id, hash: _, root: _, own: _ } = session;
        write!(f, "HalfOpen({})", HEXLOWER.encode(id.as_bytes()))
    }
}

/// A session that sends and receives.
pub struct Ratchet {
    session: Session,
    /// The other side's ratchet key.
    theirs: [u8; 32],
    sending: Chain,
    /// `None` on the side that called, until it has heard something.
    receiving: Option<Chain>,
    /// How many messages our chain before `sending` had.
    previous: u32,
    skipped: Skipped,
    began: Time,
    /// When the first message left that the other side has not answered.
    unanswered: Option<Time>,
}

impl Ratchet {
    /// The state of who called; `theirs` is the ratchet key in RESP. Takes 32 bytes of randomness.
    ///
    /// # Errors
    /// [`OpenError`] if that key is of small order.
    pub fn call(
        keys: &DirectKeys,
        theirs: &[u8; 32],
        now: Time,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, OpenError> {
        let mut session = Session::new(keys, StaticKey::generate(rng));
        let (root, sending) = turn(&session.root, &session.own, theirs).map_err(|_| OpenError::Refused)?;
        session.root = root;
        Ok(Self {
            session,
            theirs: *theirs,
            sending,
            receiving: None,
            previous: 0,
            skipped: Skipped::default(),
            began: now,
            unanswered: None,
        })
    }

    /// The session's name in its packets.
    #[must_use]
    pub const fn id(&self) -> DirectId {
        self.session.id
    }

    /// When the handshake was.
    #[must_use]
    pub const fn began(&self) -> Time {
        self.began
    }

    /// The other side's ratchet key: the `dh` of its newest messages. Not secret.
    #[must_use]
    pub const fn theirs(&self) -> &[u8; 32] {
        &self.theirs
    }

    /// Whether a new handshake is due before more is sent: after 1,000 messages or 1 h of sending without a word from
    /// the other side, and after 24 h. What is on its way still opens.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        let silence = self.unanswered.map_or(Duration::ZERO, |since| now.saturating_since(since));
        self.sending.number() >= RENEW_MESSAGES
            || silence >= RENEW_SILENCE
            || now.saturating_since(self.began) >= RENEW_AGE
    }

    /// Seals a message: the whole packet. What is sealed is padded before ([`pad`](darkchat_proto::pad)).
    ///
    /// # Errors
    /// [`SealError`]; nothing has changed.
    pub fn seal(&mut self, now: Time, plain: &[u8]) -> Result<Bytes, SealError> {
        let too_long = SealError::TooLong { len: plain.len(), max: MAX_PLAIN };
        if plain.len() > MAX_PLAIN {
            return Err(too_long);
        }
        let mut sending = self.sending.clone();
        let (number, key) = sending.step().ok_or(SealError::Exhausted)?;
        let Self { session, previous, .. } = self;
        let head = DirectHead { session: session.id, dh: *session.own.public(), previous: *previous, number };
        let sealed = key.seal(&associated(&session.hash, &head), plain).map_err(|_| too_long)?;
        self.sending = sending;
        self.unanswered.get_or_insert(now);
        Ok(Packet::Message { head, sealed: sealed.into() }.encode())
    }

    /// Opens a message, in whatever order they come. Takes 32 bytes of randomness when a good one brings a new key.
    ///
    /// # Errors
    /// [`OpenError`] for what was altered, is of another session, was opened before, or jumps over more than
    /// [`MAX_STEP`] messages. Nothing has changed and nothing of it was decrypted.
    pub fn open(
        &mut self,
        now: Time,
        head: &DirectHead,
        sealed: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Bytes, OpenError> {
        let associated = associated(&self.session.hash, head);
        if head.session == self.session.id
            && let Some(key) = self.skipped.find(head, now)
        {
            let plain = key.open(&associated, sealed)?;
            self.skipped.spend(head);
            self.skipped.expire(now);
            return Ok(plain);
        }
        let plan =
            self.session.plan(Some(&self.theirs), self.receiving.as_ref(), head).ok_or(OpenError::Refused)?;
        let plain = plan.key.open(&associated, sealed)?;
        if let Some(turned) = &plan.turned {
            let sending = self.session.answer(turned, &head.dh, rng).ok_or(OpenError::Refused)?;
            self.previous = self.sending.number();
            self.sending = sending;
            self.skipped.keep(self.theirs, plan.skipped_before, now);
            self.theirs = head.dh;
            self.unanswered = None;
        }
        self.skipped.keep(head.dh, plan.skipped, now);
        self.skipped.expire(now);
        self.receiving = Some(plan.receiving);
        Ok(plain)
    }

    /// Wipes the keys of messages that should have come 10 min ago. Call it when [`next_expiry`](Self::next_expiry)
    /// has passed; opening does it too.
    pub fn expire(&mut self, now: Time) {
        self.skipped.expire(now);
    }

    /// When the oldest key of a message that has not come is to be wiped.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Time> {
        self.skipped.next_expiry()
    }
}

impl fmt::Debug for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, theirs: _, sending, receiving, previous: _, skipped, began: _, unanswered: _ } =
            self;
        let Session { id, hash: _, root: _, own: _ } = session;
        f.debug_struct("Ratchet")
            .field("id", id)
            .field("sent", &sending.number())
            .field("received", &receiving.as_ref().map_or(0, Chain::number))
            .field("skipped", &skipped.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
