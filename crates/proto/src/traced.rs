//! What a server answers to a probe. Source: `docs/protocol.md`, sections 4.1 and 9.6.

use crate::limits::MAX_TRACED;
use crate::{DecodeError, RouterId, shape, wire};
use bytes::Bytes;
use prost::Message as _;

/// The answer to a probe: who got it, from whom, and whether it was meant for that server. Nobody signs it.
///
/// ```
/// use darkchat_proto::{RouterId, Traced};
/// let traced = Traced { router: RouterId(2), from: RouterId(1), ttl: 32, here: true };
/// assert_eq!(Traced::decode(traced.encode()), Ok(traced));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Traced {
    /// The server that answers.
    pub router: RouterId,
    /// The neighbour that the probe came from.
    pub from: RouterId,
    /// The hops that the probe could still make when it came.
    pub ttl: u32,
    /// Whether the server is one of those that the probe is for.
    pub here: bool,
}

impl Traced {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Self { router, from, ttl, here } = *self;
        wire::Traced { router: router.0, from: from.0, ttl, here }.encode_to_vec().into()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or over [`MAX_TRACED`] bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_TRACED {
            return Err(DecodeError::TooLarge { what: "Traced", len: bytes.len(), max: MAX_TRACED });
        }
        shape::check(&bytes, &shape::TRACED)?;
        let wire::Traced { router, from, ttl, here } =
            wire::Traced::decode(bytes).map_err(|_| DecodeError::Malformed { what: "Traced" })?;
        Ok(Self { router: RouterId(router), from: RouterId(from), ttl, here })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fits_its_bound_and_a_longer_one_is_refused() {
        let most = Traced { router: RouterId(u64::MAX), from: RouterId(u64::MAX), ttl: u32::MAX, here: true };
        assert_eq!(most.encode().len(), 26);
        let unknown = |len: usize| [&[0x7A, u8::try_from(len).unwrap()][..], &vec![0; len]].concat();
        assert!(Traced::decode(unknown(MAX_TRACED - 2).into()).is_ok(), "a later version may say more");
        let over = Traced::decode(unknown(MAX_TRACED - 1).into());
        assert!(matches!(over, Err(DecodeError::TooLarge { what: "Traced", .. })));
    }
}
