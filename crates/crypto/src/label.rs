//! Every label that this crate signs, hashes or derives with. Source: `docs/protocol.md`, sections 2, 3.2, 7.3, 7.4 and 8.1.

/// What a signature is for. Its label opens the signed bytes, so a signature never serves another purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Context {
    /// A server proves its key to whoever dials it (3.2).
    LinkServer,
    /// A user proves its key to a server (3.2).
    LinkClient,
    /// A server proves its key to the server that it dialled (3.2).
    LinkPeer,
    /// A post to a public channel (6.1).
    Post,
    /// A post to a private channel (8.1).
    Group,
    /// A device's key for direct messages (7.2).
    Bundle,
    /// What a server says of itself and its neighbours (9.2).
    Record,
    /// A part of what a server's clients listen to (9.4).
    Shard,
    /// A private channel's change of key (8.1).
    Rekey,
}

impl Context {
    /// Every context, each once.
    pub const ALL: [Self; 9] = [
        Self::LinkServer,
        Self::LinkClient,
        Self::LinkPeer,
        Self::Post,
        Self::Group,
        Self::Bundle,
        Self::Record,
        Self::Shard,
        Self::Rekey,
    ];

    /// The word between `dchat/1/` and the network's name in the signed bytes.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::LinkServer => "link-server",
            Self::LinkClient => "link-client",
            Self::LinkPeer => "link-peer",
            Self::Post => "msg",
            Self::Group => "grp",
            Self::Bundle => "bundle",
            Self::Record => "record",
            Self::Shard => "shard",
            Self::Rekey => "rekey",
        }
    }
}

/// What every label begins with; it never changes within this major version.
pub(crate) const PREFIX: &[u8] = b"dchat/1/";
/// Opens the prologue of a link's handshake.
pub(crate) const LINK_PROLOGUE: &[u8] = b"link";
/// Opens the prologue of a direct handshake between two devices.
pub(crate) const DIRECT_PROLOGUE: &[u8] = b"dm";
/// Hash of a closed network's secret.
pub(crate) const NETWORK_SECRET: &[u8] = b"dchat/1/net-secret\0";
/// HKDF: first root key of a direct session.
pub(crate) const DIRECT_ROOT: &str = "dchat/1/dm-root";
/// HKDF: name of a direct session in its packets.
pub(crate) const DIRECT_SESSION: &str = "dchat/1/dm-sid";
/// HKDF: next root key and chain key of a direct session.
pub(crate) const DIRECT_RATCHET: &str = "dchat/1/dm-rk";
/// HKDF: key and nonce of one direct message.
pub(crate) const DIRECT_MESSAGE_KEY: &str = "dchat/1/dm-mk";
/// Opens the associated data of a direct message.
pub(crate) const DIRECT_MESSAGE: &[u8] = b"dchat/1/dm-msg\0";
/// HKDF: a private channel's secret of the next step.
pub(crate) const GROUP_STEP: &str = "dchat/1/grp-step";
/// HKDF: the key of one stream of a private channel.
pub(crate) const GROUP_KEY: &str = "dchat/1/grp-key";
/// Opens the associated data of a sealed post.
pub(crate) const GROUP_MESSAGE: &[u8] = b"dchat/1/grp-msg\0";
/// HKDF: secrets that a program without IO takes from its seed. Never on the wire.
pub(crate) const SEEDED: &str = "dchat/1/seeded";
/// HKDF: fresh bytes among such secrets. Never on the wire.
pub(crate) const SEEDED_FRESH: &str = "dchat/1/seeded-fresh";
/// What the text of a key file begins with.
#[cfg(feature = "system")]
pub(crate) const SEED_FILE: &str = "dchat-seed-1:";
