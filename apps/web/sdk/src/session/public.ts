// Posts of a public channel: signed, and readable by all. Source: docs/protocol.md, section 6.1.

import { type Bytes, EMPTY, equal } from "../bytes.ts";
import { sign, verify } from "../crypto/sign.ts";
import type { Signer, Suite } from "../crypto/suite.ts";
import { postId } from "../hash.ts";
import { keyText } from "../text/key.ts";
import { ChannelBody, Deliver, Signed } from "../wire/messages.ts";
import type { Draft, Envelope, Post, Unfit } from "./post.ts";

/** Around the entries of a public post: keys, ids, numbers, the name, the signature, and lengths. */
const AROUND = 320;

/** The envelope of one public channel. */
export class PublicEnvelope implements Envelope {
  readonly overhead = AROUND;
  readonly isSealed = false;
  readonly #suite: Suite;
  readonly #signer: Signer;
  readonly #network: string;
  readonly #channel: Bytes;

  constructor(suite: Suite, signer: Signer, network: string, channel: Bytes) {
    this.#suite = suite;
    this.#signer = signer;
    this.#network = network;
    this.#channel = channel;
  }

  async close(draft: Draft): Promise<{ deliver: Bytes; id: Bytes }> {
    const channel = this.#channel;
    const body = ChannelBody.encode({ ...draft, author: this.#signer.publicKey, channel });
    const sig = await sign(this.#signer, this.#network, "msg", body);
    const deliver = Deliver.encode({ channel, envelope: Signed.encode({ body, sig }), sealed: EMPTY });
    return { deliver, id: await postId(this.#suite, body) };
  }

  async open(envelope: Bytes, sealed: Bytes): Promise<Post | Unfit> {
    if (sealed.length > 0) return "undecryptable";
    let signed: Signed;
    let body: ChannelBody;
    try {
      signed = Signed.decode(envelope);
      body = ChannelBody.decode(signed.body);
    } catch {
      return "malformed";
    }
    if (!equal(body.channel, this.#channel)) return "malformed";
    const [isGood, id, from] = await Promise.all([
      verify(this.#suite, body.author, signed.sig, this.#network, "msg", signed.body),
      postId(this.#suite, signed.body),
      keyText(this.#suite, "user", body.author),
    ]);
    if (!isGood) return "bad_signature";
    return { ...body, id, from };
  }

  wantsNewStream(): boolean {
    return false;
  }
}
