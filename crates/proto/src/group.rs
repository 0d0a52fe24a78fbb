//! What members of a private channel say to each other, inside the seal. Source: `docs/protocol.md`, 4.1 and 8.1.

use crate::invite::{keys, users};
use crate::limits::{MAX_DELIVER, MAX_DM_BODY, MAX_NAME, MAX_PAYLOAD, MAX_TEXT};
use crate::{ChannelId, DecodeError, Entry, Invite, Network, Signed, UserId, field, hash, shape, wire};
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeSet;

/// 1 to 64 entries of one author in a private channel: a [`Post`](crate::Post) without what stands in the
/// [`SealedHead`](crate::SealedHead).
///
/// ```
/// use darkchat_proto::{Entry, GroupBody, UserId};
/// let author = UserId::new([1; 32]);
/// let entries = vec![Entry::text("behind the door")];
/// let body = GroupBody { author, time_ms: 0, name: "alice".to_owned(), prev_stream: 0, prev_seq: 0, entries };
/// assert_eq!(GroupBody::decode(body.encode())?, body);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct GroupBody {
    /// Who says that it wrote this; true once the signature is verified.
    pub author: UserId,
    /// The author's clock when the post left, in Unix milliseconds.
    pub time_ms: u64,
    /// The name that the author claims: of allowed length, but else as it came.
    pub name: String,
    /// The author's stream in this channel before this one, or 0.
    pub prev_stream: u64,
    /// The last number in that stream, or 0.
    pub prev_seq: u64,
    /// The entries, in order.
    pub entries: Vec<Entry>,
}

impl GroupBody {
    /// The body's bytes: what is signed and sealed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        wire::GroupBody {
            author: Bytes::copy_from_slice(self.author.as_bytes()),
            time_ms: self.time_ms,
            name: self.name.clone(),
            prev_stream: self.prev_stream,
            prev_seq: self.prev_seq,
            entries: self.entries.iter().map(Entry::to_wire).collect(),
        }
        .encode_to_vec()
        .into()
    }

    /// Reads a body; contents share the buffer. The signature is not looked at, nor whether the stream has so many
    /// numbers ([`SealedHead::next_seq`](crate::SealedHead::next_seq)).
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or breaks a bound of section 4.2 or a rule of 6.1.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_DELIVER {
            return Err(DecodeError::TooLarge { what: "GroupBody", len: bytes.len(), max: MAX_DELIVER });
        }
        shape::check(&bytes, &shape::GROUP_BODY)?;
        let body =
            wire::GroupBody::decode(bytes).map_err(|_| DecodeError::Malformed { what: "GroupBody" })?;
        if body.entries.is_empty() {
            return Err(DecodeError::Missing { field: "entries" });
        }
        let body = Self {
            author: UserId::new(field::fixed("author", &body.author)?),
            time_ms: body.time_ms,
            name: field::text("name", body.name, MAX_NAME)?,
            prev_stream: body.prev_stream,
            prev_seq: body.prev_seq,
            entries: body.entries.into_iter().map(Entry::from_wire).collect::<Result<_, _>>()?,
        };
        let len = body.content_len();
        if len > MAX_PAYLOAD {
            return Err(DecodeError::TooLarge { what: "content", len, max: MAX_PAYLOAD });
        }
        Ok(body)
    }

    /// The content of all entries together, in bytes.
    #[must_use]
    pub fn content_len(&self) -> usize {
        self.entries.iter().map(|entry| entry.content.len()).sum()
    }
}

/// The hash of a member list: `H("grp-members", keys in ascending order)`. Order and repeats do not matter.
///
/// ```
/// use darkchat_proto::{Network, UserId, members_hash};
/// let (alice, bob) = (UserId::new([1; 32]), UserId::new([2; 32]));
/// let network = Network::default();
/// assert_eq!(members_hash(&network, &[alice, bob]), members_hash(&network, &[bob, alice, bob]));
/// assert_ne!(members_hash(&network, &[alice, bob]), members_hash(&network, &[alice]));
/// ```
#[must_use]
pub fn members_hash(network: &Network, members: &[UserId]) -> [u8; 32] {
    let members: BTreeSet<&UserId> = members.iter().collect();
    let keys: Vec<&[u8]> = members.iter().map(|user| user.as_bytes().as_slice()).collect();
    hash::labelled("grp-members", network, &keys)
}

/// The change of a private channel's secret, signed by one of its administrators.
///
/// ```
/// use darkchat_proto::{ChannelId, ChannelSecret, Invite, Network, Rekey, UserId};
/// let (alice, bob) = (UserId::new([1; 32]), UserId::new([2; 32]));
/// let next = Invite {
///     network: Network::default(),
///     channel: ChannelId::new([8; 32]),
///     generation: 2,
///     step: 0,
///     secret: ChannelSecret::new([5; 32]),
///     start_ms: 1_800_000_000_000,
///     admins: vec![alice],
///     servers: Vec::new(),
///     name: "garden".to_owned(),
///     members_hash: None,
/// };
/// let reason = "left the house".to_owned();
/// let old_channel = ChannelId::new([7; 32]);
/// let rekey = Rekey { admin: alice, old_channel, next, members: vec![alice], removed: vec![bob], reason };
/// assert_eq!(Rekey::decode(rekey.encode())?, rekey);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Rekey {
    /// Who says so; true once the signature is verified.
    pub admin: UserId,
    /// The channel that it replaces.
    pub old_channel: ChannelId,
    /// The next generation.
    pub next: Invite,
    /// All members of the next generation, at most 256; empty where everybody with the invitation is one.
    pub members: Vec<UserId>,
    /// All who were removed, at most 256.
    pub removed: Vec<UserId>,
    /// Why, for people; at most 200 bytes.
    pub reason: String,
}

impl Rekey {
    /// The body's bytes: what is signed. They hold the next secret.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        wire::Rekey {
            admin: Bytes::copy_from_slice(self.admin.as_bytes()),
            old_channel: Bytes::copy_from_slice(self.old_channel.as_bytes()),
            next: Some(self.next.to_wire()),
            members: keys(&self.members),
            removed: keys(&self.removed),
            reason: self.reason.clone(),
        }
        .encode_to_vec()
        .into()
    }

    /// Reads a body. The signature is not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or breaks a bound of section 4.2.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_DM_BODY {
            return Err(DecodeError::TooLarge { what: "Rekey", len: bytes.len(), max: MAX_DM_BODY });
        }
        shape::check(&bytes, &shape::REKEY)?;
        let rekey = wire::Rekey::decode(bytes).map_err(|_| DecodeError::Malformed { what: "Rekey" })?;
        Ok(Self {
            admin: UserId::new(field::fixed("admin", &rekey.admin)?),
            old_channel: ChannelId::new(field::fixed("old_channel", &rekey.old_channel)?),
            next: Invite::from_wire(rekey.next.ok_or(DecodeError::Missing { field: "next" })?)?,
            members: users("members", &rekey.members)?,
            removed: users("removed", &rekey.removed)?,
            reason: field::text("reason", rekey.reason, MAX_TEXT)?,
        })
    }
}

/// About a private channel, from one person to another: the body of a direct content of kind GROUP.
///
/// ```
/// use darkchat_proto::{ChannelId, GroupControl};
/// let ask = GroupControl::Ask(ChannelId::new([7; 32]));
/// assert_eq!(GroupControl::decode(ask.encode())?, ask);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupControl {
    /// The next generation: the body is an encoded [`Rekey`], not yet verified.
    Rekey(Signed),
    /// "I was away: what came after this channel?"
    Ask(ChannelId),
    /// "Come in." Taken up only when the user agrees.
    Invite(Box<Invite>),
}

impl GroupControl {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        use wire::group_control::Kind;
        let kind = match self {
            Self::Rekey(signed) => Kind::Rekey(signed.encode()),
            Self::Ask(channel) => Kind::Ask(Bytes::copy_from_slice(channel.as_bytes())),
            Self::Invite(invite) => Kind::Invite(invite.to_wire()),
        };
        wire::GroupControl { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads a message; a signed body shares the buffer. If several kinds stand in it, the last one counts.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, holds no known kind, or breaks a bound of section 4.2.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        use wire::group_control::Kind;
        if bytes.len() > MAX_DM_BODY {
            return Err(DecodeError::TooLarge { what: "GroupControl", len: bytes.len(), max: MAX_DM_BODY });
        }
        shape::check(&bytes, &shape::GROUP_CONTROL)?;
        let control =
            wire::GroupControl::decode(bytes).map_err(|_| DecodeError::Malformed { what: "GroupControl" })?;
        Ok(match control.kind.ok_or(DecodeError::Missing { field: "kind" })? {
            Kind::Rekey(signed) => Self::Rekey(Signed::decode(signed)?),
            Kind::Ask(channel) => Self::Ask(ChannelId::new(field::fixed("ask", &channel)?)),
            Kind::Invite(invite) => Self::Invite(Box::new(Invite::from_wire(invite)?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_ENTRIES, MAX_MEMBERS};
    use crate::{ChannelSecret, EntryKind, Signature};

    fn body(entries: Vec<Entry>) -> GroupBody {
        let (author, name) = (UserId::new([1; 32]), String::new());
        GroupBody { author, time_ms: 0, name, prev_stream: 0, prev_seq: 0, entries }
    }

    fn rekey(members: usize) -> Rekey {
        let next = Invite {
            network: Network::default(),
            channel: ChannelId::new([8; 32]),
            generation: 2,
            step: 0,
            secret: ChannelSecret::new([5; 32]),
            start_ms: 0,
            admins: vec![UserId::new([1; 32])],
            servers: Vec::new(),
            name: String::new(),
            members_hash: Some([9; 32]),
        };
        Rekey {
            admin: UserId::new([1; 32]),
            old_channel: ChannelId::new([7; 32]),
            next,
            members: vec![UserId::new([2; 32]); members],
            removed: vec![UserId::new([3; 32]); members],
            reason: "r".repeat(MAX_TEXT),
        }
    }

    #[test]
    fn a_body_has_1_to_64_entries_of_65536_bytes_together() {
        assert_eq!(GroupBody::decode(body(vec![]).encode()), Err(DecodeError::Missing { field: "entries" }));
        assert!(GroupBody::decode(body(vec![Entry::text("x"); MAX_ENTRIES]).encode()).is_ok());
        let error = GroupBody::decode(body(vec![Entry::text("x"); MAX_ENTRIES + 1]).encode());
        assert_eq!(error, Err(DecodeError::TooMany { field: "entries", max: MAX_ENTRIES }));
        let of = |len: usize| body(vec![Entry::new(EntryKind::Data, vec![0; len].into())]);
        assert!(GroupBody::decode(of(MAX_PAYLOAD).encode()).is_ok());
        let error = GroupBody::decode(of(MAX_PAYLOAD + 1).encode());
        assert!(matches!(error, Err(DecodeError::TooLarge { what: "content", .. })));
    }

    #[test]
    fn the_largest_rekey_fits_into_a_direct_content_and_one_member_more_is_refused() {
        let most = rekey(MAX_MEMBERS);
        assert_eq!(Rekey::decode(most.encode()), Ok(most.clone()));
        let control = GroupControl::Rekey(Signed { body: most.encode(), sig: Signature::new([4; 64]) });
        assert!(control.encode().len() <= MAX_DM_BODY);
        assert_eq!(GroupControl::decode(control.encode()), Ok(control));
        let error = DecodeError::TooMany { field: "members", max: MAX_MEMBERS };
        assert_eq!(Rekey::decode(rekey(MAX_MEMBERS + 1).encode()), Err(error));
        let long = Rekey { reason: "r".repeat(MAX_TEXT + 1), ..rekey(1) };
        assert_eq!(Rekey::decode(long.encode()), Err(DecodeError::Length { field: "reason", len: 201 }));
    }

    #[test]
    fn a_rekey_has_one_next_generation_and_a_control_one_invitation() {
        let next = rekey(0).next.encode();
        let field = |number: u8| {
            [&[number << 3 | 2, u8::try_from(next.len()).unwrap() | 0x80, 1][..], &next].concat()
        };
        assert!((128..256).contains(&next.len()), "its length takes two bytes");
        let twice = [&rekey(0).encode()[..], &field(3)].concat();
        assert_eq!(Rekey::decode(twice.into()), Err(DecodeError::TooMany { field: "next", max: 1 }));
        let twice = [field(4), field(4)].concat();
        assert_eq!(GroupControl::decode(twice.into()), Err(DecodeError::TooMany { field: "invite", max: 1 }));
        let none = Err(DecodeError::Missing { field: "kind" });
        assert_eq!(GroupControl::decode(Bytes::new()), none);
        assert_eq!(GroupControl::decode(Bytes::from_static(&[0x1A, 0])), none, "3 is reserved");
    }
}
