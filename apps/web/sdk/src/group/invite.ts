// Invitations to private channels as text. Source: docs/protocol.md, section 8.1.

import { base64url, unbase64url } from "../bytes.ts";
import { TextError } from "../text/name.ts";
import { Invite } from "../wire/messages.ts";

/** What the text of an invitation begins with. */
export const SCHEME = "dchat-invite-1:";
/** Base64url of the longest invitation, in characters. */
const MAX_TEXT = 5_464;

/** The text of an invitation; behind `page`, the link that opens it there. Whoever has it reads the channel. */
export function inviteText(invite: Invite, page?: string): string {
  const text = `${SCHEME}${base64url(Invite.encode(invite))}`;
  return page === undefined ? text : `${page.split("#", 1)[0] ?? ""}#${text}`;
}

/**
 * The invitation in a text or a link.
 * @throws TextError for anything else; it does not repeat the text, which may be half a secret.
 */
export function parseInvite(typed: string): Invite {
  const trimmed = typed.trim();
  const alone = /^https?:\/\//.test(trimmed) ? trimmed.slice(trimmed.indexOf("#") + 1) : trimmed;
  if (!alone.startsWith(SCHEME)) throw new TextError(`not an invitation: it begins with ${SCHEME}`);
  const code = alone.slice(SCHEME.length);
  const bytes = code.length > MAX_TEXT ? undefined : unbase64url(code);
  if (bytes === undefined) throw new TextError("not an invitation: damaged, copy all of it");
  try {
    return Invite.decode(bytes);
  } catch {
    throw new TextError("not an invitation: damaged, or of a later version");
  }
}
