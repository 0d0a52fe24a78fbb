// Every size limit of the wire that a client meets. Source: docs/protocol.md, sections 4.2 and 12.

/** The largest unit that a transport carries, in bytes. */
export const MAX_UNIT = 65_535;
/** The largest unit before a link is up, in bytes. */
export const MAX_HANDSHAKE_UNIT = 4_096;
/** The largest frame without its length prefix, in bytes. */
export const MAX_FRAME = 73_728;
/** The longest length prefix of a frame, in bytes. */
export const MAX_PREFIX = 3;
/** The largest encoded `Deliver`, in bytes. */
export const MAX_DELIVER = 71_168;
/** The most content of one post, in bytes. */
export const MAX_PAYLOAD = 65_536;
/** The most entries of one post. */
export const MAX_ENTRIES = 64;
/** The least length of a sealed post, in bytes. */
export const SEALED_MIN = 168;
/** The most headers of one entry or direct content. */
export const MAX_HEADERS = 16;
/** The most headers of one post. */
export const MAX_POST_HEADERS = 64;
/** The most bytes of header names and values of one entry together. */
export const MAX_HEADER_BYTES = 1_024;
/** The longest content type and the longest header name, in bytes. */
export const MAX_CONTENT_TYPE = 64;
/** The most channels that one `Join` or `Leave` names. */
export const MAX_JOIN = 1_024;
/** The most bundles in one answer to a lookup. */
export const MAX_BUNDLES = 64;
/** The most protocol versions that a party offers. */
export const MAX_VERSIONS = 8;
/** The most other addresses that a `Goodbye` suggests. */
export const MAX_ELSEWHERE = 4;
/** The longest `text` of an error or a goodbye, in bytes. */
export const MAX_TEXT = 200;
/** The longest host of an address, in bytes. */
export const MAX_HOST = 253;
/** The longest address text, in bytes: `wss://`, a key, `@`, the longest host, a port and `/ws`. */
export const MAX_ADDR_TEXT = 6 + 57 + MAX_HOST + 6 + 3;
/** The longest bearer token, in bytes. */
export const MAX_TOKEN = 512;
/** The longest program name and version in a handshake, in bytes. */
export const MAX_AGENT = 64;
/** The longest user name, in bytes. */
export const MAX_NAME = 48;
/** The longest channel name, in bytes. */
export const MAX_CHANNEL_NAME = 64;
/** The longest network name, in bytes. */
export const MAX_NETWORK = 32;
/** The longest packet of a direct message that every server can carry on, in bytes. */
export const MAX_PACKET = 72_704;
/** The longest body of a direct content, in bytes. */
export const MAX_DM_BODY = 57_344;
/** The longest body of a `SELF_COPY`, in bytes. */
export const MAX_SELF_COPY = 60_416;
/** The most acknowledgements in one direct content. */
export const MAX_ACKS = 32;
/** The most administrators of a private channel. */
export const MAX_ADMINS = 8;
/** The most server addresses in an invitation. */
export const MAX_INVITE_SERVERS = 4;
/** The longest encoded invitation, in bytes. */
export const MAX_INVITE = 4_096;
/** The most members of a private channel with a member list. */
export const MAX_MEMBERS = 256;
/** A plaintext record holds at most so many bytes: a unit without its tag. */
export const MAX_RECORD_PLAIN = MAX_UNIT - 16;
/** A writer fills a record up to here, in bytes, unless one frame is larger (LINK_RECORD). */
export const RECORD_FILL = 16_384;
