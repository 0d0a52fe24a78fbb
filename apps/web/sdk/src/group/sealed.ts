// Posts of a private channel: signed inside, sealed outside. Source: docs/protocol.md, section 8.1.

import { type Bytes, concat, EMPTY, readU32be, readU64be, u32be, u64be } from "../bytes.ts";
import type { Clock } from "../clock.ts";
import { nonceOf } from "../crypto/noise.ts";
import { sign, verify } from "../crypto/sign.ts";
import type { Signer, Suite } from "../crypto/suite.ts";
import { label, sealedPostId } from "../hash.ts";
import type { Draft, Envelope, Post, Unfit } from "../session/post.ts";
import { keyText } from "../text/key.ts";
import { Deliver, GroupBody } from "../wire/messages.ts";
import { pad, unpad } from "../wire/pad.ts";
import { type Generation, GroupError } from "./generation.ts";

const HEADER = 24;
const SIGNATURE = 64;
const GREATEST = 2n ** 64n - 1n;
/** Around the entries of a sealed post: as around a public one, and header and tag. */
const AROUND = 360;

/** The envelope of one generation. */
export class SealedEnvelope implements Envelope {
  readonly overhead = AROUND;
  readonly isSealed = true;
  readonly #suite: Suite;
  readonly #clock: Clock;
  readonly #signer: Signer;
  readonly #generation: Generation;
  readonly #isOut: (author: Bytes) => boolean;
  #stream = 0n;
  #step = 0;
  #last = 0n;
  #before = { stream: 0n, seq: 0n };

  /** `isOut` says whom a later generation has removed: what they say here is not shown. */
  constructor(
    suite: Suite,
    clock: Clock,
    signer: Signer,
    generation: Generation,
    isOut: (author: Bytes) => boolean = () => false,
  ) {
    this.#suite = suite;
    this.#clock = clock;
    this.#signer = signer;
    this.#generation = generation;
    this.#isOut = isOut;
  }

  wantsNewStream(): boolean {
    return this.#stream !== 0n && this.#generation.current(this.#clock.wall()) !== this.#step;
  }

  async close(draft: Draft): Promise<{ deliver: Bytes; id: Bytes }> {
    const { network, channel, generation } = this.#generation.facts;
    if (draft.stream !== this.#stream) {
      this.#before = { stream: this.#stream, seq: this.#last };
      this.#stream = draft.stream;
      this.#step = this.#generation.current(this.#clock.wall());
    }
    this.#last = draft.seq + BigInt(draft.entries.length) - 1n;
    const head = concat(u32be(generation), u32be(this.#step), u64be(draft.stream), u64be(draft.seq));
    const body = GroupBody.encode({
      ...draft,
      author: this.#signer.publicKey,
      prevStream: this.#before.stream,
      prevSeq: this.#before.seq,
    });
    const sig = await sign(this.#signer, network, "grp", channel, head, body);
    const key = await this.#generation.key(this.#step, draft.stream);
    if (key === undefined) throw new GroupError("the secret of this hour is gone");
    const aead = await this.#suite.aead(key);
    key.fill(0);
    const sealed = await aead.seal(nonceOf(draft.seq), associated(channel, head), pad(concat(sig, body)));
    const deliver = Deliver.encode({ channel, envelope: EMPTY, sealed: concat(head, sealed) });
    return { deliver, id: await sealedPostId(this.#suite, channel, head, body) };
  }

  async open(_envelope: Bytes, sealed: Bytes): Promise<Post | Unfit> {
    if (sealed.length < HEADER) return "malformed";
    const { network, channel, generation } = this.#generation.facts;
    const head = sealed.slice(0, HEADER);
    const [step, stream, seq] = [readU32be(head, 4), readU64be(head, 8), readU64be(head, 16)];
    if (readU32be(head, 0) !== generation || !this.#generation.accepts(step, this.#clock.wall()))
      return "undecryptable";
    const key = await this.#generation.key(step, stream);
    if (key === undefined) return "undecryptable";
    const aead = await this.#suite.aead(key);
    key.fill(0);
    const padded = await aead.open(nonceOf(seq), associated(channel, head), sealed.slice(HEADER));
    if (padded === undefined) return "undecryptable";
    const plain = unpad(padded);
    if (plain === undefined || plain.length < SIGNATURE) return "malformed";
    const [sig, bytes] = [plain.slice(0, SIGNATURE), plain.slice(SIGNATURE)];
    let body: GroupBody;
    try {
      body = GroupBody.decode(bytes);
    } catch {
      return "malformed";
    }
    if (seq + BigInt(body.entries.length) > GREATEST) return "malformed";
    if (!(await verify(this.#suite, body.author, sig, network, "grp", channel, head, bytes)))
      return "bad_signature";
    if (!this.#generation.isMember(body.author) || this.#isOut(body.author)) return "ignored";
    const [id, from] = await Promise.all([
      sealedPostId(this.#suite, channel, head, bytes),
      keyText(this.#suite, "user", body.author),
    ]);
    const before = { stream: body.prevStream, seq: body.prevSeq };
    const { author, timeMs, name, entries } = body;
    return { id, channel, author, from, stream, seq, timeMs, name, entries, before };
  }
}

function associated(channel: Bytes, head: Bytes): Bytes {
  return concat(label("grp-msg"), channel, head);
}
