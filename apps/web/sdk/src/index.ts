// darkchat-sdk: what an application uses. Everything else is private to the package.

export type { Channel, Sent } from "./channel.ts";
export { Client, type ClientEvents, type ClientOptions, type Warning } from "./client.ts";
export type { Clock } from "./clock.ts";
export type { Suite } from "./crypto/suite.ts";
export type { Direct } from "./direct.ts";
export { ChatError, type ChatErrorCode } from "./error.ts";
export type { PrivateChannel, PrivateOptions, Told } from "./group/privates.ts";
export { Identity, type StoredIdentity } from "./identity.ts";
export { IndexedDbKeyStore, type KeyStore, MemoryKeyStore } from "./keystore.ts";
export { type KnownServers, MemoryKnownServers } from "./known.ts";
export type { WebSocketClass } from "./link/link.ts";
export type { Content, DirectMessage, Message, Missed, SendOptions } from "./message.ts";
export type { State } from "./session/connection.ts";
export type { Member, MemberChange } from "./session/members.ts";
export type { Stats } from "./session/rooms.ts";
export { markOf } from "./text/key.ts";
export { channelName, TextError, userName } from "./text/name.ts";
export type { Code } from "./wire/code.ts";
