//! Every size limit of the wire, each with its reason. Source: `docs/protocol.md`, sections 4.2 and 12.

/// The largest unit that a transport carries, in bytes: what a `u16` length can say.
pub const MAX_UNIT: usize = 65_535;
/// The largest unit before a link is up, in bytes: a stranger gets no more memory than that.
pub const MAX_HANDSHAKE_UNIT: usize = 4_096;
/// The largest frame without its length prefix, in bytes: the largest [`MAX_DELIVER`] with routing around it.
pub const MAX_FRAME: usize = 73_728;
/// The longest length prefix of a frame, in bytes: three groups of seven bits hold [`MAX_FRAME`].
pub const MAX_PREFIX: usize = 3;
/// The largest encoded [`Deliver`](crate::Deliver), in bytes: [`MAX_PAYLOAD`] with headers and signature around it.
pub const MAX_DELIVER: usize = 71_168;
/// The most content of one post, in bytes: the sum over its entries.
pub const MAX_PAYLOAD: usize = 65_536;
/// The most entries of one post: enough to make a signature's cost small, few enough to stay one frame.
pub const MAX_ENTRIES: usize = 64;
/// The least length of a sealed post, in bytes: header, signature, smallest padding and tag.
pub const SEALED_MIN: usize = 168;
/// The bytes of a sealed post that count as one entry of the entries budget.
pub const SEALED_ENTRY: usize = 1_024;
/// The most headers of one entry.
pub const MAX_HEADERS: usize = 16;
/// The most headers of one post, over all its entries.
pub const MAX_POST_HEADERS: usize = 64;
/// The most bytes of header names and values of one entry together.
pub const MAX_HEADER_BYTES: usize = 1_024;
/// The longest content type and the longest header name, in bytes.
pub const MAX_CONTENT_TYPE: usize = 64;
/// The most channels that one `Join` or `Leave` names.
pub const MAX_JOIN: usize = 1_024;
/// The most bundles in one answer to a lookup.
pub const MAX_BUNDLES: usize = 64;
/// The longest encoded `Signed` of a device's bundle, in bytes: ten times what one needs today, and room for the larger
/// keys of a later suite; servers keep one for each client.
pub const MAX_BUNDLE: usize = 2_048;
/// The most protocol versions that a party offers.
pub const MAX_VERSIONS: usize = 8;
/// The most other addresses that a `Goodbye` suggests.
pub const MAX_ELSEWHERE: usize = 4;
/// The most addresses in a server's record.
pub const MAX_ADDRS: usize = 8;
/// The most neighbours in a server's record.
pub const MAX_NEIGHBOURS: usize = 64;
/// The largest encoded server record, in bytes: it is flooded to everyone.
pub const MAX_RECORD: usize = 2_048;
/// The most tags in one interest shard: shards average 8, so this is a fault's bound and not a working size.
pub const MAX_SHARD_TAGS: usize = 4_096;
/// The largest `bits` of an interest shard: 16,384 shards of 8 tags hold the most tags of a server.
pub const MAX_SHARD_BITS: u32 = 14;
/// The most entries of one `Digest` or `Pull`.
pub const MAX_DIGEST: usize = 1_024;
/// The most destinations of one `Route`.
pub const MAX_DST: usize = 256;
/// The hops that a `Route` may still make when it leaves its origin.
pub const ROUTE_TTL: u32 = 32;
/// The largest encoded answer to a probe, in bytes: its 26 at most, with room for fields of later versions.
pub const MAX_TRACED: usize = 128;
/// The longest `text` of an error or a goodbye, in bytes.
pub const MAX_TEXT: usize = 200;
/// The longest address text, in bytes: `wss://`, a key, `@`, the longest DNS name, a port and `/ws`.
pub const MAX_ADDR_TEXT: usize = 6 + 57 + MAX_HOST + 6 + 3;
/// The longest host of an address, in bytes: the longest DNS name.
pub const MAX_HOST: usize = 253;
/// The longest label of a DNS name, in bytes.
pub const MAX_HOST_LABEL: usize = 63;
/// The longest bearer token, in bytes.
pub const MAX_TOKEN: usize = 512;
/// The longest program name and version in a handshake, in bytes.
pub const MAX_AGENT: usize = 64;
/// The longest user name, in bytes.
pub const MAX_NAME: usize = 48;
/// The longest channel name, in bytes.
pub const MAX_CHANNEL_NAME: usize = 64;
/// The longest network name, in bytes.
pub const MAX_NETWORK: usize = 32;
/// The longest packet of a direct message that every server can carry on, in bytes: what [`MAX_FRAME`] leaves after
/// a route's fields. A longer one decodes, and is answered with `DmStatus(TOO_LARGE)` (5.2).
pub const MAX_PACKET: usize = 72_704;
/// The longest body of a direct content, in bytes: with every other field at its bound it fits into [`MAX_PACKET`],
/// also inside the copy for one's own devices.
pub const MAX_DM_BODY: usize = 57_344;
/// The longest body of a `SELF_COPY`, in bytes: a content with [`MAX_DM_BODY`] and whom it went to.
pub const MAX_SELF_COPY: usize = 60_416;
/// The most acknowledgements in one direct content.
pub const MAX_ACKS: usize = 32;
/// The most administrators of a private channel.
pub const MAX_ADMINS: usize = 8;
/// The most server addresses in an invitation.
pub const MAX_INVITE_SERVERS: usize = 4;
/// The longest encoded invitation, in bytes: all its fields at their bounds take half of it.
pub const MAX_INVITE: usize = 4_096;
/// The most members of a private channel with a member list.
pub const MAX_MEMBERS: usize = 256;

#[cfg(test)]
mod tests;
