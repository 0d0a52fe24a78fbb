// The client's side of a link's handshake: Noise XX, both ends signed. Source: docs/protocol.md, section 3.2.

import { type Bytes, concat, equal } from "../bytes.ts";
import { HandshakeError, Noise } from "../crypto/noise.ts";
import { RecordCipher } from "../crypto/record.ts";
import { sign, verify } from "../crypto/sign.ts";
import type { Signer, Suite } from "../crypto/suite.ts";
import { labelIn } from "../hash.ts";
import { Auth, Hello, HelloReply, type Resume, ROLE_CLIENT } from "../wire/messages.ts";

const VERSION = 1;

/** What a client brings to a handshake. */
export interface LinkStart {
  readonly network: string;
  /** 32 zero bytes, or the hashed secret of a closed network. */
  readonly networkSecret: Bytes;
  readonly signer: Signer;
  readonly device: Bytes;
  readonly features: bigint;
  readonly token: string;
  readonly agent: string;
  /** Refuses, by throwing, a server that proved another key than the one wanted. Asked before we say who we are. */
  readonly checkServer: (server: Bytes) => Promise<void>;
  /** The session to go on with at this server. */
  readonly resumeAt: (server: Bytes) => Resume | undefined;
}

/** A link whose two ends know each other. */
export interface SecureLink {
  readonly server: Bytes;
  readonly reply: HelloReply;
  /** Features that both ends set. */
  readonly features: bigint;
  /** What goes to the server, after which the link is up. */
  readonly message3: Bytes;
  readonly sealer: RecordCipher;
  readonly opener: RecordCipher;
}

/** The server speaks no version of ours. */
export class VersionError extends Error {
  override readonly name = "VersionError";
}

/** A handshake between its first message and the server's answer. */
export class LinkHandshake {
  readonly message1: Bytes;
  readonly #suite: Suite;
  readonly #start: LinkStart;
  readonly #noise: Noise;
  readonly #channelKey: Bytes;

  private constructor(suite: Suite, start: LinkStart, noise: Noise, channelKey: Bytes, message1: Bytes) {
    this.#suite = suite;
    this.#start = start;
    this.#noise = noise;
    this.#channelKey = channelKey;
    this.message1 = message1;
  }

  /** Begins a handshake with fresh keys; `pairs` are for vectors alone. */
  static async begin(
    suite: Suite,
    start: LinkStart,
    pairs?: {
      staticPair: Awaited<ReturnType<Suite["newDh"]>>;
      ephemeral: Awaited<ReturnType<Suite["newDh"]>>;
    },
  ): Promise<LinkHandshake> {
    const prologue = concat(labelIn(start.network, "link"), start.networkSecret);
    const staticPair = pairs?.staticPair ?? (await suite.newDh());
    const ephemeral = pairs?.ephemeral ?? (await suite.newDh());
    const noise = await Noise.start(suite, {
      pattern: "XX",
      initiator: true,
      prologue,
      staticPair,
      ephemeral,
    });
    const hello = Hello.encode({ versions: [VERSION], role: ROLE_CLIENT, features: start.features });
    return new LinkHandshake(suite, start, noise, staticPair.publicKey, await noise.write(hello));
  }

  /**
   * Takes message 2 and proves the server: its version, its key, its signature, in this order.
   * @throws HandshakeError, WireError, VersionError, or what `checkServer` throws. Nothing is then to be sent.
   */
  async answer(message2: Bytes): Promise<SecureLink> {
    const h1 = this.#noise.hash;
    const reply = HelloReply.decode(await this.#noise.read(message2));
    const { network, signer } = this.#start;
    if (reply.version !== VERSION)
      throw new VersionError(`the server speaks versions ${reply.versions.join(", ")}`);
    await this.#start.checkServer(reply.server);
    const signed = [h1, this.#noise.remoteStatic];
    if (!(await verify(this.#suite, reply.server, reply.sig, network, "link-server", ...signed))) {
      throw new HandshakeError("the server did not prove its key");
    }
    const h2 = this.#noise.hash;
    const sig = await sign(signer, network, "link-client", h2, this.#channelKey, reply.server);
    const auth = Auth.encode({
      identity: signer.publicKey,
      sig,
      device: this.#start.device,
      token: this.#start.token,
      agent: this.#start.agent,
      resume: this.#start.resumeAt(reply.server),
    });
    const message3 = await this.#noise.write(auth);
    const [ours, theirs] = await this.#noise.split();
    return {
      server: reply.server,
      reply,
      features: reply.features & this.#start.features,
      message3,
      sealer: await RecordCipher.start(this.#suite, ours),
      opener: await RecordCipher.start(this.#suite, theirs),
    };
  }
}

/** No resumption, as a first link has none. */
export const noResume = (): undefined => undefined;

/** Takes one key alone. */
export function expectServer(expected: Bytes): (server: Bytes) => Promise<void> {
  return async (server) => {
    if (!equal(server, expected)) throw new HandshakeError("the server has another key");
  };
}
