// Whom a command means: by a key, or by the name that somebody here goes by.

import { markOf, TextError } from "darkchat-sdk";

/** Somebody who may be meant: a name is only what its owner says. */
export interface Known {
  readonly user: string;
  readonly name: string;
}

/** Whether it is written as the key of a user. */
export function isKey(text: string): boolean {
  return /^u[a-z2-7]{55}$/.test(text);
}

/**
 * The key of the person who is meant by a key, by `NAME~MARK`, or by a name that one alone of them has; cases do not
 * matter.
 * @throws TextError if nobody is called that, or several are: a name is a claim, so none of them is preferred.
 */
export function whom(text: string, known: readonly Known[]): string {
  if (isKey(text)) return text;
  if (text === "") throw new TextError("say whom: a name from the list of members, or a key");
  const typed = text.toLowerCase();
  const isMeant = ({ user, name }: Known): boolean =>
    [name.toLowerCase(), marked({ user, name }).toLowerCase()].includes(typed);
  const meant = new Map(known.filter(isMeant).map((one) => [one.user, one]));
  const [user, another] = meant.keys();
  if (user === undefined) throw new TextError(`nobody here is called ${text}; a key begins with u`);
  if (another === undefined) return user;
  throw new TextError(`${text} could be ${[...meant.values()].map(marked).join(" or ")}`);
}

function marked({ user, name }: Known): string {
  return `${name}~${markOf(user)}`;
}
