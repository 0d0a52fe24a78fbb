// What direct messages need, and what they tell.

import type { Bytes } from "../bytes.ts";
import type { Clock } from "../clock.ts";
import type { Signer, Suite } from "../crypto/suite.ts";
import type { Session } from "../session/session.ts";
import type { DmContent } from "../wire/messages.ts";

/** What direct messages tell. */
export interface DirectEvents {
  /** A content for the user, from `from` in a conversation with `peer` (both as text). */
  content(about: { from: string; peer: string; device: Bytes }, content: DmContent): void;
  /** A control of a private channel. */
  group(from: Bytes, body: Bytes): void;
  /** A user whom we know has a device that we did not know. */
  device(user: string, device: string): void;
}

/** What direct messages need. */
export interface DirectParts {
  readonly suite: Suite;
  readonly clock: Clock;
  readonly session: Session;
  readonly signer: Signer;
  readonly network: string;
  readonly device: Bytes;
  readonly name: () => string;
  /** Whether nothing of this key, as text, is to be read or answered. */
  readonly isBlocked: (user: string) => boolean;
  readonly events: DirectEvents;
}
