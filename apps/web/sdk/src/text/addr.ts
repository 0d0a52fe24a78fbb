// Addresses of servers, as people type them. Source: docs/protocol.md, section 2.

import { MAX_HOST } from "../wire/limits.ts";
import { looksLikeKey } from "./key.ts";
import { TextError } from "./name.ts";

/** The carriages of section 3.1; the SDK itself dials `ws` and `wss`. */
export type Scheme = "tcp" | "ws" | "wss";

/** Where a server is, and perhaps which key it must prove. */
export interface ServerAddress {
  readonly scheme: Scheme;
  /** A name in lower case, or an IP address in its one spelling, without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  /** The server's key as text, if the address names one. */
  readonly key: string | undefined;
}

const CLIENT_PORTS = { tcp: 8545, ws: 8546, wss: 443 } as const;
const MAX_LABEL = 63;

function wrong(reason: string, text: string): never {
  throw new TextError(`not an address (${reason}): ${text.slice(0, 400)}`);
}

/**
 * Parses `tcp://`, `ws://` and `wss://` addresses, with or without key, port and path, and bare `host[:port]`.
 * The check of a key in it is verified where it is used.
 * @throws TextError with the reason.
 */
export function parseAddress(typed: string): ServerAddress {
  const cut = typed.indexOf("://");
  const scheme = cut < 0 ? "tcp" : typed.slice(0, cut);
  if (!isScheme(scheme)) wrong("the schemes are tcp, ws and wss", typed);
  let rest = cut < 0 ? typed : typed.slice(cut + 3);
  let key: string | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    key = rest.slice(0, at);
    if (!looksLikeKey("server", key)) wrong("what stands before the @ is no server key", typed);
    rest = rest.slice(at + 1);
  }
  const slash = rest.indexOf("/");
  const path = slash < 0 ? "" : rest.slice(slash);
  if (path !== "" && (scheme === "tcp" || path !== "/ws"))
    wrong("the only path is /ws, and tcp has none", typed);
  const [host, port] = splitPort(slash < 0 ? rest : rest.slice(0, slash), typed);
  return { scheme, host: normalHost(host, typed), port, key };
}

function isScheme(text: string): text is Scheme {
  return text === "tcp" || text === "ws" || text === "wss";
}

function splitPort(authority: string, typed: string): [string, number | undefined] {
  const bracketed = /^\[([^\]]*)\](.*)$/s.exec(authority);
  const [host, after] = bracketed
    ? [bracketed[1] ?? "", bracketed[2] ?? ""]
    : [authority.split(":", 1)[0] ?? "", authority.slice((authority.split(":", 1)[0] ?? "").length)];
  if (bracketed && ipv6(host) === undefined) wrong("there is no IPv6 address in the brackets", typed);
  if (after === "") return [host, undefined];
  if (!bracketed && after.indexOf(":", 1) > 0) wrong("IPv6 needs brackets", typed);
  const port = /^:[0-9]+$/.test(after) ? Number(after.slice(1)) : Number.NaN;
  if (!(port <= 65_535)) wrong("the port is not a number from 0 to 65535", typed);
  return [host, port];
}

function normalHost(host: string, typed: string): string {
  if (host === "") wrong("the host is missing", typed);
  const six = ipv6(host);
  if (six !== undefined) return six;
  if (!/^[A-Za-z0-9._-]+$/.test(host) || host.length > MAX_HOST)
    wrong("the host is neither a name nor an IP address", typed);
  const name = host.toLowerCase();
  const labels = name.replace(/\.$/, "").split(".");
  if (labels.some((part) => part.length < 1 || part.length > MAX_LABEL)) {
    wrong("a part of the host name is empty or longer than 63 characters", typed);
  }
  if (/^([0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "") && !isIpv4(name)) {
    wrong("the host looks like an IPv4 address and is none", typed);
  }
  return name;
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return (
    parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
  );
}

/** The one spelling of an IPv6 address, or the IPv4 address that it maps; `undefined` if it is none. */
function ipv6(text: string): string | undefined {
  if (!text.includes(":") || !/^[0-9A-Fa-f:.]+$/.test(text)) return undefined;
  const four = /[^:]*\.[^:]*$/.exec(text)?.[0];
  if (four !== undefined && !isIpv4(four)) return undefined;
  let host: string;
  try {
    host = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host);
  if (!mapped) return host;
  const numbers = [mapped[1], mapped[2]].map((part) => Number.parseInt(part ?? "0", 16));
  return numbers.flatMap((number) => [number >> 8, number & 255]).join(".");
}

/** The one text of an address, with its key only if `withKey`. */
export function addressText(address: ServerAddress, withKey = true): string {
  const { scheme, host, port, key } = address;
  const shown = host.includes(":") ? `[${host}]` : host;
  const before = withKey && key !== undefined ? `${key}@` : "";
  return `${scheme}://${before}${shown}${port === undefined ? "" : `:${port}`}${scheme === "tcp" ? "" : "/ws"}`;
}

/** The port that a client dials. */
export function clientPort(address: ServerAddress): number {
  return address.port ?? CLIENT_PORTS[address.scheme];
}

/** The URL that a WebSocket takes. */
export function webSocketUrl(address: ServerAddress): string {
  return addressText({ ...address, port: clientPort(address) }, false);
}
