//! Identities and ids, and their text. Source: `docs/protocol.md`, sections 2, 6.1, 7 and 8.1.

use crate::{ChannelName, Network, ParseError, SealedHead, hash};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use std::fmt;
use std::str::FromStr;

/// Declares a newtype over a fixed number of bytes; its debug form is hexadecimal.
macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Takes the bytes as they are.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), HEXLOWER.encode(&self.0))
            }
        }
    };
}

bytes_id!(
    /// A user: the 32 bytes of an Ed25519 public key. Its text has 56 characters and begins with `u`.
    ///
    /// ```
    /// use darkchat_proto::UserId;
    /// let alice: UserId = "uaqyuk2c423ps5mkq5x5w6c7gu4egbiq7gqvm2yier525ib4yzqacl2v".parse()?;
    /// assert_eq!(alice.as_bytes()[..2], [0x21, 0x8A]);
    /// assert_eq!(alice.mark(), "aqyuk2c4");
    /// # Ok::<(), darkchat_proto::ParseError>(())
    /// ```
    UserId, 32
);
bytes_id!(
    /// A server: the 32 bytes of an Ed25519 public key. Its text has 56 characters and begins with `s`.
    ///
    /// ```
    /// use darkchat_proto::ServerId;
    /// let server = ServerId::new([0x11; 32]);
    /// assert_eq!(server.to_string().parse(), Ok(server));
    /// assert_eq!(server.router().0, 0x1111_1111_1111_1111);
    /// ```
    ServerId, 32
);
bytes_id!(
    /// A channel: a hash of network and name for public ones, random for private ones.
    ///
    /// ```
    /// use darkchat_proto::{ChannelId, Network};
    /// let (main, test): (Network, Network) = ("main".parse()?, "test".parse()?);
    /// let lobby = ChannelId::of(&main, &"#Lobby".parse()?);
    /// assert_eq!(lobby, ChannelId::of(&main, &"lobby".parse()?));
    /// assert_ne!(lobby, ChannelId::of(&test, &"lobby".parse()?), "a channel belongs to its network");
    /// # Ok::<(), darkchat_proto::ParseError>(())
    /// ```
    ChannelId, 32
);
bytes_id!(
    /// One installation of a user's program: 16 random bytes.
    DeviceId, 16
);
bytes_id!(
    /// A session at a server: 16 random bytes.
    SessionId, 16
);
bytes_id!(
    /// The identity of a post: the first 16 bytes of a hash over its signed body.
    PostId, 16
);
bytes_id!(
    /// The first 16 bytes of SHA-256 over the bytes of an encoded `Deliver`: what servers know a post by.
    Digest16, 16
);
bytes_id!(
    /// The identity of one content of a direct message: 16 random bytes, the same for all devices of the receiver.
    ContentId, 16
);
bytes_id!(
    /// A direct session's name in its packets: 8 bytes that follow from its handshake (7.3).
    DirectId, 8
);
bytes_id!(
    /// Which bundle an INIT was made for: the first 4 bytes of SHA-256 over its body. Bundles may share one by chance.
    KeyId, 4
);
bytes_id!(
    /// Which INIT a RESP answers: the first 8 bytes of SHA-256 over its Noise message.
    InitRef, 8
);
bytes_id!(
    /// An Ed25519 signature, not yet verified.
    Signature, 64
);

/// A server's short name inside routing frames: the first 8 bytes of its key, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub u64);

/// A routing hint: the first 8 bytes of a hash over a channel id or a user id, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

impl fmt::Debug for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouterId({:016x})", self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({:016x})", self.0)
    }
}

const USER_TYPE: u8 = 0xA0;
const SERVER_TYPE: u8 = 0x90;
/// Characters of a key's text: 35 bytes in base32.
const KEY_TEXT: usize = 56;

fn key_check(kind: u8, key: &[u8; 32]) -> [u8; 2] {
    hash::first(hash::plain(&[b"dchat/1/id\0", &[kind], key]))
}

fn write_key(f: &mut fmt::Formatter<'_>, kind: u8, key: &[u8; 32]) -> fmt::Result {
    let check = key_check(kind, key);
    let bytes: Vec<u8> = [kind].iter().chain(key).chain(&check).copied().collect();
    f.pad(&BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

fn parse_key(text: &str, kind: u8, expected: &'static str, letter: char) -> Result<[u8; 32], ParseError> {
    let wrong = || ParseError::Key { text: text.to_owned() };
    if text.len() != KEY_TEXT || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(wrong());
    }
    let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| wrong())?;
    let (Some((found, rest)), true) = (bytes.split_first(), bytes.len() == 35) else { return Err(wrong()) };
    let Some((key, check)) = rest.split_first_chunk::<32>() else { return Err(wrong()) };
    if key_check(*found, key) != check {
        return Err(wrong());
    }
    if *found != kind {
        return Err(ParseError::WrongKind { expected, letter, text: text.to_owned() });
    }
    Ok(*key)
}

impl UserId {
    /// Eight characters of the text after its first letter, shown beside a name: `k7q2m9xa`.
    ///
    /// Short enough to read, too short to trust: only the whole key proves who somebody is.
    #[must_use]
    pub fn mark(&self) -> String {
        self.to_string().chars().skip(1).take(8).collect()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, USER_TYPE, &self.0)
    }
}

impl FromStr for UserId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_key(text, USER_TYPE, "user", 'u').map(Self)
    }
}

impl ServerId {
    /// The short name of this server inside routing frames.
    #[must_use]
    pub fn router(&self) -> RouterId {
        RouterId(u64::from_be_bytes(hash::first(self.0)))
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, SERVER_TYPE, &self.0)
    }
}

impl FromStr for ServerId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_key(text, SERVER_TYPE, "server", 's').map(Self)
    }
}

impl ChannelId {
    /// The id of the public channel with this name: `H("channel-id", name)`.
    #[must_use]
    pub fn of(network: &Network, name: &ChannelName) -> Self {
        Self(hash::labelled("channel-id", network, &[name.as_str().as_bytes()]))
    }
}

impl fmt::Display for ChannelId {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl Tag {
    /// The tag of a channel.
    #[must_use]
    pub fn of_channel(network: &Network, channel: &ChannelId) -> Self {
        Self::of(network, 1, &channel.0)
    }

    /// The tag of a user's inbox.
    #[must_use]
    pub fn of_inbox(network: &Network, user: &UserId) -> Self {
        Self::of(network, 2, &user.0)
    }

    fn of(network: &Network, kind: u8, id: &[u8; 32]) -> Self {
        Self(u64::from_be_bytes(hash::first(hash::labelled("topic", network, &[&[kind], id]))))
    }
}

impl fmt::Display for ContentId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl PostId {
    /// The id of a public post with this signed body.
    #[must_use]
    pub fn of_body(body: &[u8]) -> Self {
        Self(hash::first(hash::plain(&[b"dchat/1/msg-id\0", body])))
    }

    /// The id of a sealed post of this channel, with this head and this encoded `GroupBody` (8.1).
    #[must_use]
    pub fn of_sealed(channel: &ChannelId, head: &SealedHead, body: &[u8]) -> Self {
        Self(hash::first(hash::plain(&[b"dchat/1/grp-id\0", &channel.0, &head.to_bytes(), body])))
    }
}

impl KeyId {
    /// The short name of the bundle with this body.
    #[must_use]
    pub fn of_body(body: &[u8]) -> Self {
        Self(hash::first(hash::plain(&[body])))
    }
}

impl InitRef {
    /// The reference to an INIT with this Noise message.
    #[must_use]
    pub fn of_noise(noise: &[u8]) -> Self {
        Self(hash::first(hash::plain(&[noise])))
    }
}

impl Digest16 {
    /// The digest of an encoded `Deliver`.
    #[must_use]
    pub fn of(deliver: &[u8]) -> Self {
        Self(hash::first(hash::plain(&[deliver])))
    }
}

/// The identity of one entry of a post: `9f86d081884c7d659a2feaa0c55ad015.0`.
///
/// ```
/// use darkchat_proto::MessageId;
/// let id: MessageId = "9f86d081884c7d659a2feaa0c55ad015.7".parse()?;
/// assert_eq!(id.index, 7);
/// assert_eq!(id.to_string(), "9f86d081884c7d659a2feaa0c55ad015.7");
/// # Ok::<(), darkchat_proto::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the two parts are the protocol's definition of the id")]
pub struct MessageId {
    /// The post.
    pub post: PostId,
    /// The entry's place in it, from 0; below [`MAX_ENTRIES`](crate::limits::MAX_ENTRIES) where it was parsed.
    pub index: u8,
}

impl MessageId {
    /// The 17 bytes that `reply_to` holds.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 17] {
        let mut bytes = [self.index; 17];
        for (to, from) in bytes.iter_mut().zip(self.post.0) {
            *to = from;
        }
        bytes
    }

    /// The id in 17 bytes, or `None` for another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (post, index) = bytes.split_first_chunk::<16>()?;
        match index {
            [index] => Some(Self { post: PostId(*post), index: *index }),
            _ => None,
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", HEXLOWER.encode(&self.post.0), self.index)
    }
}

impl FromStr for MessageId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_message_id(text).ok_or_else(|| ParseError::MessageId { text: text.to_owned() })
    }
}

fn parse_message_id(text: &str) -> Option<MessageId> {
    let (post, index) = text.split_once('.')?;
    let post: [u8; 16] = HEXLOWER.decode(post.as_bytes()).ok()?.try_into().ok()?;
    let number: u8 = index.parse().ok()?;
    let canonical = number.to_string() == index && usize::from(number) < crate::limits::MAX_ENTRIES;
    canonical.then_some(MessageId { post: PostId(post), index: number })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "uaqyuk2c423ps5mkq5x5w6c7gu4egbiq7gqvm2yier525ib4yzqacl2v";
    const SERVER: &str = "sab2m2jnmrux4hfa3m7iq3qzavuokzd6xq4uowbbvcrgidjdl6ugyogl";
    const NO_KEY: &str = "not a key (56 letters a-z and digits 2-7, the last ones a check): ";

    fn refusal<T: FromStr<Err = ParseError> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().unwrap_err().to_string()
    }

    #[test]
    fn a_key_of_the_other_kind_says_which_one_is_expected() {
        assert_eq!(refusal::<UserId>(SERVER), format!("not a user key, which begins with u: {SERVER}"));
        assert_eq!(refusal::<ServerId>(ALICE), format!("not a server key, which begins with s: {ALICE}"));
    }

    #[test]
    fn a_wrong_letter_anywhere_fails_the_check() {
        for at in 0..ALICE.len() {
            let other = if &ALICE[at..=at] == "a" { "b" } else { "a" };
            let typed = format!("{}{other}{}", &ALICE[..at], &ALICE[at + 1..]);
            assert_eq!(refusal::<UserId>(&typed), format!("{NO_KEY}{typed}"));
            assert!(typed.parse::<ServerId>().is_err());
        }
    }

    #[test]
    fn upper_case_other_lengths_and_other_alphabets_are_no_keys() {
        let upper = ALICE.to_ascii_uppercase();
        let one_upper = format!("{}V", &ALICE[..55]);
        let long = format!("{ALICE}a");
        let accented = format!("{}é", &ALICE[..54]);
        let padded = format!(" {}", &ALICE[1..]);
        let digit = format!("{}1", &ALICE[..55]);
        for typed in [&upper, &one_upper, &ALICE[..55], &long, &accented, &padded, &digit, ""] {
            assert_eq!(refusal::<UserId>(typed), format!("{NO_KEY}{typed}"));
        }
    }

    #[test]
    fn a_refusal_shows_control_characters_instead_of_writing_them() {
        assert_eq!(refusal::<UserId>("a\n\u{1B}[2J\u{202E}"), format!("{NO_KEY}a\\n\\u{{1b}}[2J\\u{{202e}}"));
        assert_eq!(refusal::<MessageId>("\r"), "not a message id: \\r");
    }

    #[test]
    fn debug_output_names_the_type_and_shows_hexadecimal() {
        assert_eq!(format!("{:?}", DeviceId::new([0xAB; 16])), format!("DeviceId({})", "ab".repeat(16)));
        assert_eq!(ContentId::new([0x0F; 16]).to_string(), "0f".repeat(16));
        assert_eq!(format!("{:?}", RouterId(7)), "RouterId(0000000000000007)");
        assert_eq!(format!("{:?}", Tag(u64::MAX)), "Tag(ffffffffffffffff)");
    }

    #[test]
    fn a_message_id_has_17_bytes_and_one_text() {
        let id = MessageId { post: PostId::new([0x0F; 16]), index: 63 };
        assert_eq!(MessageId::from_bytes(&id.to_bytes()), Some(id));
        assert_eq!(id.to_string().parse(), Ok(id));
        for len in [0, 15, 16, 18] {
            assert_eq!(MessageId::from_bytes(&vec![0; len]), None, "{len} bytes");
        }
        for typed in ["0f.0", &format!("{}.64", "0f".repeat(16)), &format!("{}.00", "0F".repeat(16))] {
            assert_eq!(refusal::<MessageId>(typed), format!("not a message id: {typed}"));
        }
    }
}
