//! The three payloads of a link's handshake. Source: `docs/protocol.md`, sections 3.2 and 4.1.

use crate::limits::{MAX_AGENT, MAX_HANDSHAKE_UNIT, MAX_TOKEN};
use crate::{DecodeError, DeviceId, Features, Signature, field, shape, wire};
use bytes::Bytes;
use prost::Message as _;
use std::fmt;

/// The version of the protocol that this crate speaks.
pub const VERSION: u32 = 1;

/// What the initiator of a link wants to be. A listener says which roles it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A user's program.
    Client,
    /// Another server.
    Peer,
}

/// The initiator's first payload, in clear.
///
/// ```
/// use darkchat_proto::{Features, Hello, Role, VERSION};
/// let hello = Hello { versions: vec![VERSION], role: Role::Client, features: Features::NONE };
/// assert_eq!(Hello::decode(hello.encode().into()), Ok(hello));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by both ends; a new field is a new protocol feature")]
pub struct Hello {
    /// The protocol versions that it speaks; contains [`VERSION`].
    pub versions: Vec<u32>,
    /// What it wants to be.
    pub role: Role,
    /// The features that it offers.
    pub features: Features,
}

/// The numbers that a responder announces; advice that the initiator obeys. 0 means the default of section 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "made by servers; a new field is a new protocol feature")]
pub struct Announced {
    /// The most content of one post, in bytes.
    pub max_payload: u32,
    /// The time without sending after which the initiator sends a `Ping`, in milliseconds.
    pub ping_ms: u32,
    /// The responder's clock, in Unix milliseconds.
    pub time_ms: u64,
    /// Frames per second that it takes on this link.
    pub frames_per_s: u32,
    /// Bytes of units per second that it takes on this link.
    pub bytes_per_s: u32,
    /// Posts per second that it takes on this link.
    pub posts_per_s: u32,
    /// Entries of posts per second that it takes on this link.
    pub entries_per_s: u32,
}

/// The responder's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by servers; a new field is a new protocol feature")]
pub struct HelloReply {
    /// The version that it chose, or 0 if there is none in common.
    pub version: u32,
    /// The versions that it speaks.
    pub versions: Vec<u32>,
    /// The features that both may use.
    pub features: Features,
    /// The server's key, not yet proven.
    pub server: [u8; 32],
    /// Its signature; `None` only beside version 0, which ends the link before anything is proven.
    pub sig: Option<Signature>,
    /// Its advice.
    pub announced: Announced,
}

/// What continues a session after a lost link. Source: section 5.4.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Resume {
    /// The token that the server gave; a secret.
    pub token: [u8; 16],
    /// The frames of the session that the client has processed.
    pub received: u64,
}

impl fmt::Debug for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, received } = self;
        f.debug_struct("Resume").field("received", received).finish_non_exhaustive()
    }
}

/// The initiator's second payload.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by both ends; a new field is a new protocol feature")]
pub struct Auth {
    /// The initiator's key, not yet proven.
    pub identity: [u8; 32],
    /// Its signature.
    pub sig: Signature,
    /// The client's device; none for peers.
    pub device: Option<DeviceId>,
    /// A bearer token for servers that ask for one; a secret.
    pub token: String,
    /// The program's name and version, for logs.
    pub agent: String,
    /// What to resume, if anything.
    pub resume: Option<Resume>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, sig: _, device, token: _, agent, resume } = self;
        f.debug_struct("Auth")
            .field("identity", identity)
            .field("device", device)
            .field("agent", agent)
            .field("resume", resume)
            .finish_non_exhaustive()
    }
}

fn check_size(what: &'static str, bytes: &Bytes) -> Result<(), DecodeError> {
    if bytes.len() > MAX_HANDSHAKE_UNIT {
        return Err(DecodeError::TooLarge { what, len: bytes.len(), max: MAX_HANDSHAKE_UNIT });
    }
    Ok(())
}

impl Hello {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let role = match self.role {
            Role::Client => wire::Role::Client,
            Role::Peer => wire::Role::Peer,
        };
        wire::Hello { versions: self.versions.clone(), role: role.into(), features: self.features.bits() }
            .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, has too many versions, or an unknown role.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        check_size("Hello", &bytes)?;
        shape::check(&bytes, &shape::HELLO)?;
        let hello = wire::Hello::decode(bytes).map_err(|_| DecodeError::Malformed { what: "Hello" })?;
        let role = match wire::Role::try_from(hello.role) {
            Ok(wire::Role::Client) => Role::Client,
            Ok(wire::Role::Peer) => Role::Peer,
            _ => return Err(DecodeError::Value { field: "role", value: field::number(hello.role) }),
        };
        Ok(Self { versions: hello.versions, role, features: Features::from_bits(hello.features) })
    }
}

impl HelloReply {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Announced {
            max_payload,
            ping_ms,
            time_ms,
            frames_per_s,
            bytes_per_s,
            posts_per_s,
            entries_per_s,
        } = self.announced;
        wire::HelloReply {
            version: self.version,
            versions: self.versions.clone(),
            features: self.features.bits(),
            server: Bytes::copy_from_slice(&self.server),
            sig: self.sig.map_or_else(Bytes::new, |sig| Bytes::copy_from_slice(sig.as_bytes())),
            max_payload,
            ping_ms,
            time_ms,
            frames_per_s,
            bytes_per_s,
            posts_per_s,
            entries_per_s,
        }
        .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, has too many versions or a field of wrong length. Only beside version 0 may
    /// the signature be missing.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        check_size("HelloReply", &bytes)?;
        shape::check(&bytes, &shape::HELLO_REPLY)?;
        let reply =
            wire::HelloReply::decode(bytes).map_err(|_| DecodeError::Malformed { what: "HelloReply" })?;
        let sig = match reply.version {
            0 => field::fixed_or_empty("sig", &reply.sig)?,
            _ => Some(field::fixed("sig", &reply.sig)?),
        };
        let announced = Announced {
            max_payload: reply.max_payload,
            ping_ms: reply.ping_ms,
            time_ms: reply.time_ms,
            frames_per_s: reply.frames_per_s,
            bytes_per_s: reply.bytes_per_s,
            posts_per_s: reply.posts_per_s,
            entries_per_s: reply.entries_per_s,
        };
        Ok(Self {
            version: reply.version,
            versions: reply.versions,
            features: Features::from_bits(reply.features),
            server: field::fixed("server", &reply.server)?,
            sig: sig.map(Signature::new),
            announced,
        })
    }
}

impl Auth {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { identity, sig, device, token, agent, resume } = self;
        wire::Auth {
            identity: Bytes::copy_from_slice(identity),
            sig: Bytes::copy_from_slice(sig.as_bytes()),
            device: device.map_or_else(Bytes::new, |device| Bytes::copy_from_slice(device.as_bytes())),
            token: token.clone(),
            agent: agent.clone(),
            resume: resume.as_ref().map(|resume| wire::Resume {
                token: Bytes::copy_from_slice(&resume.token),
                received: resume.received,
            }),
        }
        .encode_to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or a field has a wrong length.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        check_size("Auth", &bytes)?;
        shape::check(&bytes, &shape::AUTH)?;
        let auth = wire::Auth::decode(bytes).map_err(|_| DecodeError::Malformed { what: "Auth" })?;
        let resume = match auth.resume {
            Some(resume) => {
                Some(Resume { token: field::fixed("token", &resume.token)?, received: resume.received })
            }
            None => None,
        };
        Ok(Self {
            identity: field::fixed("identity", &auth.identity)?,
            sig: Signature::new(field::fixed("sig", &auth.sig)?),
            device: field::fixed_or_empty("device", &auth.device)?.map(DeviceId::new),
            token: field::text("token", auth.token, MAX_TOKEN)?,
            agent: field::text("agent", auth.agent, MAX_AGENT)?,
            resume,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Welcome;

    #[test]
    fn tokens_stay_out_of_debug_output() {
        let resume = Resume { token: [0xEE; 16], received: 3 };
        let auth = Auth {
            identity: [1; 32],
            sig: Signature::new([0xEE; 64]),
            device: None,
            token: "secret".to_owned(),
            agent: "a/1".to_owned(),
            resume: Some(resume),
        };
        let welcome = Welcome { resume_token: Some([0xEE; 16]), ..Welcome::default() };
        for shown in [format!("{auth:?}"), format!("{welcome:?}")] {
            assert!(!shown.contains("238") && !shown.contains("secret") && !shown.contains("ee"), "{shown}");
        }
        assert!(format!("{auth:?}").contains("resume: Some(Resume { received: 3, .. })"));
    }

    #[test]
    fn payloads_over_a_unit_of_the_handshake_are_refused_unread() {
        let long = Bytes::from(vec![0xFF; MAX_HANDSHAKE_UNIT + 1]);
        for error in [
            Hello::decode(long.clone()).map(drop),
            HelloReply::decode(long.clone()).map(drop),
            Auth::decode(long.clone()).map(drop),
        ] {
            assert!(matches!(error, Err(DecodeError::TooLarge { max: MAX_HANDSHAKE_UNIT, .. })), "{error:?}");
        }
    }
}
