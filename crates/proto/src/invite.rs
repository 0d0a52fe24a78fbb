//! The invitation to a private channel, and its text. Source: `docs/protocol.md`, sections 4.1 and 8.1.

use crate::limits::{MAX_ADDR_TEXT, MAX_CHANNEL_NAME, MAX_INVITE};
use crate::{ChannelId, DecodeError, Network, ParseError, UserId, field, shape, wire};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use prost::Message as _;
use std::fmt;
use std::str::FromStr;

/// What an invitation's text begins with, behind a page's address or alone.
const SCHEME: &str = "dchat-invite-1:";

/// The secret of a private channel at one step. Whoever has it reads from there on.
///
/// It does not show in debug output. Its bytes stand in plain form in an encoded invitation, as they must: that is
/// for the caller to keep short and to itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChannelSecret([u8; 32]);

impl ChannelSecret {
    /// Takes the bytes as they are.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes. Secret.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ChannelSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("ChannelSecret(..)")
    }
}

/// All that somebody needs to read and write in a private channel from a step on.
///
/// ```
/// use darkchat_proto::{ChannelId, ChannelSecret, Invite, Network, UserId};
/// let invite = Invite {
///     network: Network::default(),
///     channel: ChannelId::new([0xC4; 32]),
///     generation: 1,
///     step: 7,
///     secret: ChannelSecret::new([5; 32]),
///     start_ms: 1_800_000_000_000,
///     admins: vec![UserId::new([1; 32])],
///     servers: Vec::new(),
///     name: "garden".to_owned(),
///     members_hash: None,
/// };
/// let link = format!("https://chat.example/#{}", invite.to_text());
/// assert_eq!(link.parse::<Invite>()?, invite, "what stands before the `#` is for the browser");
/// assert!(!format!("{invite:?}").contains("5, 5"), "the secret does not show");
/// # Ok::<(), darkchat_proto::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Invite {
    /// The network that the channel is in.
    pub network: Network,
    /// The channel: 32 random bytes, new in every generation.
    pub channel: ChannelId,
    /// The generation of the secret.
    pub generation: u32,
    /// The step that `secret` is of.
    pub step: u32,
    /// The secret of that step.
    pub secret: ChannelSecret,
    /// When step 0 began, in Unix milliseconds.
    pub start_ms: u64,
    /// Who may change the secret: 1 to 8.
    pub admins: Vec<UserId>,
    /// Where the channel can be reached, as address texts; not parsed, because a scheme may be of a later version.
    pub servers: Vec<String>,
    /// What the channel is called among its members.
    pub name: String,
    /// The hash of the member list, or `None` where everybody with the invitation is a member.
    pub members_hash: Option<[u8; 32]>,
}

pub(crate) fn users(field: &'static str, list: &[Bytes]) -> Result<Vec<UserId>, DecodeError> {
    list.iter().map(|key| field::fixed(field, key).map(UserId::new)).collect()
}

pub(crate) fn keys(users: &[UserId]) -> Vec<Bytes> {
    users.iter().map(|user| Bytes::copy_from_slice(user.as_bytes())).collect()
}

impl Invite {
    pub(crate) fn to_wire(&self) -> wire::Invite {
        wire::Invite {
            network: self.network.as_str().to_owned(),
            channel: Bytes::copy_from_slice(self.channel.as_bytes()),
            generation: self.generation,
            step: self.step,
            secret: Bytes::copy_from_slice(self.secret.as_bytes()),
            start_ms: self.start_ms,
            admins: keys(&self.admins),
            servers: self.servers.clone(),
            name: self.name.clone(),
            members_hash: self
                .members_hash
                .as_ref()
                .map_or_else(Bytes::new, |hash| Bytes::copy_from_slice(hash)),
        }
    }

    pub(crate) fn from_wire(invite: wire::Invite) -> Result<Self, DecodeError> {
        let network = invite
            .network
            .parse()
            .map_err(|_| DecodeError::Length { field: "network", len: invite.network.len() })?;
        if invite.admins.is_empty() {
            return Err(DecodeError::Missing { field: "admins" });
        }
        if let Some(long) = invite.servers.iter().find(|text| text.len() > MAX_ADDR_TEXT) {
            return Err(DecodeError::Length { field: "servers", len: long.len() });
        }
        Ok(Self {
            network,
            channel: ChannelId::new(field::fixed("channel", &invite.channel)?),
            generation: invite.generation,
            step: invite.step,
            secret: ChannelSecret::new(field::fixed("secret", &invite.secret)?),
            start_ms: invite.start_ms,
            admins: users("admins", &invite.admins)?,
            servers: invite.servers,
            name: field::text("name", invite.name, MAX_CHANNEL_NAME)?,
            members_hash: field::fixed_or_empty("members_hash", &invite.members_hash)?,
        })
    }

    /// The message's bytes. They hold the secret.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, longer than [`MAX_INVITE`], breaks a bound of section 4.2, or names no
    /// administrator or no network.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_INVITE {
            return Err(DecodeError::TooLarge { what: "Invite", len: bytes.len(), max: MAX_INVITE });
        }
        shape::check(&bytes, &shape::INVITE)?;
        let invite = wire::Invite::decode(bytes).map_err(|_| DecodeError::Malformed { what: "Invite" })?;
        Self::from_wire(invite)
    }

    /// The text to hand on: `dchat-invite-1:` and base64url. It holds the secret.
    ///
    /// There is no `Display`, so that no invitation reaches a log by accident.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{SCHEME}{}", BASE64URL_NOPAD.encode(&self.encode()))
    }
}

impl FromStr for Invite {
    type Err = ParseError;

    /// Reads `dchat-invite-1:…`, alone or behind the `#` of a web client's address.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = |reason| ParseError::Invite { reason };
        let text = text.trim();
        let alone = match text.split_once('#') {
            Some((page, fragment)) if page.starts_with("https://") || page.starts_with("http://") => fragment,
            _ => text,
        };
        let code = alone.strip_prefix(SCHEME).ok_or_else(|| wrong("it begins with dchat-invite-1:"))?;
        if code.len() > MAX_INVITE.div_ceil(3) * 4 {
            return Err(wrong("too long"));
        }
        let bytes = BASE64URL_NOPAD.decode(code.as_bytes()).map_err(|_| wrong("damaged, copy all of it"))?;
        Self::decode(bytes.into()).map_err(|_| wrong("damaged, or of a later version"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_ADMINS, MAX_INVITE_SERVERS};

    fn full() -> Invite {
        Invite {
            network: "n".repeat(32).parse().unwrap(),
            channel: ChannelId::new([1; 32]),
            generation: u32::MAX,
            step: u32::MAX,
            secret: ChannelSecret::new([0x5A; 32]),
            start_ms: u64::MAX,
            admins: vec![UserId::new([2; 32]); MAX_ADMINS],
            servers: vec!["s".repeat(MAX_ADDR_TEXT); MAX_INVITE_SERVERS],
            name: "g".repeat(MAX_CHANNEL_NAME),
            members_hash: Some([3; 32]),
        }
    }

    #[test]
    fn the_largest_invitation_takes_half_of_its_bound() {
        assert_eq!(Invite::decode(full().encode()), Ok(full()));
        assert!(full().encode().len() <= MAX_INVITE / 2, "{}", full().encode().len());
        let long = [&full().encode()[..], &[0x7A, 0xFF, 0x1F], &[0; 4_095]].concat();
        assert!(matches!(Invite::decode(long.into()), Err(DecodeError::TooLarge { what: "Invite", .. })));
    }

    #[test]
    fn each_field_has_its_bound() {
        let refused = |invite: Invite| Invite::decode(invite.encode()).unwrap_err();
        let mut more = full();
        more.admins.push(UserId::new([2; 32]));
        assert_eq!(refused(more), DecodeError::TooMany { field: "admins", max: 8 });
        assert_eq!(refused(Invite { admins: vec![], ..full() }), DecodeError::Missing { field: "admins" });
        let servers = vec![String::new(); MAX_INVITE_SERVERS + 1];
        assert_eq!(refused(Invite { servers, ..full() }), DecodeError::TooMany { field: "servers", max: 4 });
        let servers = vec!["s".repeat(MAX_ADDR_TEXT + 1)];
        let error = DecodeError::Length { field: "servers", len: MAX_ADDR_TEXT + 1 };
        assert_eq!(refused(Invite { servers, ..full() }), error);
        let name = "g".repeat(65);
        assert_eq!(refused(Invite { name, ..full() }), DecodeError::Length { field: "name", len: 65 });
        let other_hash = [&full().encode()[..], &[0x52, 31], &[0; 31]].concat();
        let error = Err(DecodeError::Length { field: "members_hash", len: 31 });
        assert_eq!(Invite::decode(other_hash.into()), error);
        let no_network = [&full().encode()[..], &[0x0A, 0]].concat();
        assert!(matches!(
            Invite::decode(no_network.into()),
            Err(DecodeError::Length { field: "network", .. })
        ));
    }

    #[test]
    fn a_text_that_is_no_invitation_is_refused_without_being_repeated() {
        let text = full().to_text();
        assert_eq!(text.parse(), Ok(full()));
        assert_eq!(format!(" https://a.example/x?y#{text}\n").parse(), Ok(full()));
        let padded = format!("{text}=");
        let other_page = format!("ftp://a.example/#{text}");
        let long = format!("{SCHEME}{}", "A".repeat(6_000));
        let next = text.replace("-1:", "-2:");
        for typed in ["", SCHEME, &text[..text.len() - 3], &padded, &other_page, &long, &next, "#"] {
            let error = typed.parse::<Invite>().unwrap_err().to_string();
            assert!(error.starts_with("not an invitation: ") && !error.contains(&text[20..40]), "{error}");
        }
    }
}
