// The handshake and the records of a link, against the vectors of the protocol.

import { describe, expect, test } from "vitest";
import { type Bytes, concat, hex, utf8 } from "../../src/bytes.ts";
import { HandshakeError, Noise } from "../../src/crypto/noise.ts";
import { RecordCipher } from "../../src/crypto/record.ts";
import { sign } from "../../src/crypto/sign.ts";
import { isStrictPoint } from "../../src/crypto/strict.ts";
import {
  expectServer,
  LinkHandshake,
  type LinkStart,
  noResume,
  VersionError,
} from "../../src/link/handshake.ts";
import { FEATURES, HelloReply } from "../../src/wire/messages.ts";
import { bytesOf, SUITES, vectors } from "../support.ts";

interface NoiseVector {
  protocol_name: string;
  init_prologue: string;
  init_static: string;
  init_ephemeral: string;
  init_remote_static?: string;
  resp_static: string;
  resp_ephemeral: string;
  handshake_hash: string;
  messages: { payload: string; ciphertext: string }[];
}
type Fields = Record<string, string>;
const NOISE = vectors<{ vectors: NoiseVector[] }>("crypto", "noise_xx_ik_25519_aesgcm_sha256.json").vectors;
const DRAFT = vectors<{ ids: Fields; link: Fields }>("crypto", "dchat1-draft.json");
const MESSAGES = vectors<{ link: Fields & { auth_fields: Fields } }>("crypto", "dchat1-messages.json");
const STRICT = vectors<{
  small_order_keys: string[];
  unreduced_keys: string[];
  reduced_keys_at_the_edge: string[];
  cases: { comment: string; key: string; message: string; signature: string; strict: boolean }[];
}>("crypto", "ed25519_strict.json");

test("a key of small order or with a second encoding is no key", () => {
  for (const key of [...STRICT.small_order_keys, ...STRICT.unreduced_keys])
    expect(isStrictPoint(bytesOf(key))).toBe(false);
  for (const key of STRICT.reduced_keys_at_the_edge) expect(isStrictPoint(bytesOf(key))).toBe(true);
});

describe.each(SUITES)("$name", (suite) => {
  test("verification is strict", async () => {
    for (const row of STRICT.cases) {
      const good = await suite.verify(bytesOf(row.key), bytesOf(row.message), bytesOf(row.signature));
      expect(good, row.comment).toBe(row.strict);
    }
    for (const key of STRICT.small_order_keys) {
      const zero = concat(bytesOf(STRICT.cases[0]?.key), new Uint8Array(32));
      expect(await suite.verify(bytesOf(key), utf8("x"), zero)).toBe(false);
    }
  });

  test.each(NOISE)("$protocol_name", async (vector) => {
    const pattern = vector.protocol_name.includes("_XX_") ? "XX" : "IK";
    const [is, ie, rs, re] = await Promise.all(
      [vector.init_static, vector.init_ephemeral, vector.resp_static, vector.resp_ephemeral].map((key) =>
        suite.dhFrom(bytesOf(key)),
      ),
    );
    if (!is || !ie || !rs || !re) throw new Error("no keys");
    const prologue = bytesOf(vector.init_prologue);
    const remote =
      vector.init_remote_static === undefined ? {} : { remote: bytesOf(vector.init_remote_static) };
    const initiator = await Noise.start(suite, {
      pattern,
      initiator: true,
      prologue,
      staticPair: is,
      ephemeral: ie,
      ...remote,
    });
    const responder = await Noise.start(suite, {
      pattern,
      initiator: false,
      prologue,
      staticPair: rs,
      ephemeral: re,
    });
    const count = pattern === "XX" ? 3 : 2;
    for (const [at, { payload, ciphertext }] of vector.messages.slice(0, count).entries()) {
      const [from, to] = at % 2 === 0 ? [initiator, responder] : [responder, initiator];
      expect(hex(await from.write(bytesOf(payload)))).toBe(ciphertext);
      expect(hex(await to.read(bytesOf(ciphertext)))).toBe(payload);
    }
    expect([initiator.hash, responder.hash].map(hex)).toEqual([vector.handshake_hash, vector.handshake_hash]);
    const keys = await initiator.split();
    const directions = await Promise.all(keys.map((key) => RecordCipher.start(suite, key)));
    for (const [at, { payload, ciphertext }] of vector.messages.slice(count).entries()) {
      const direction = directions[(at + count) % 2];
      expect(hex((await direction?.seal(bytesOf(payload))) ?? new Uint8Array())).toBe(ciphertext);
    }
  });

  test("records are sealed, opened and rekeyed as the draft says", async () => {
    const { link } = DRAFT;
    const key = bytesOf(link.k_initiator_to_responder);
    const sealer = await RecordCipher.start(suite, key);
    expect(hex(await sealer.seal(bytesOf(link.record0_plain)))).toBe(link.record0);
    // The last record under the first key, and the first one under the next.
    const opener = await RecordCipher.start(suite, key, 2n ** 20n - 1n);
    const late = await RecordCipher.start(suite, key, 2n ** 20n - 1n);
    for (const word of ["last", "first"]) {
      const opened = await opener.open(await late.seal(utf8(word)));
      expect(new TextDecoder().decode(opened)).toBe(word);
    }
    const rekeyed = await suite.aead(bytesOf(link.k_i2r_after_rekey));
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setBigUint64(4, 2n ** 20n + 1n);
    const third = await late.seal(utf8("second"));
    expect(new TextDecoder().decode(await rekeyed.open(nonce, new Uint8Array(0), third))).toBe("second");
  });

  test("a record that was changed does not open, and nothing moves on", async () => {
    const key = new Uint8Array(32).fill(1);
    const [sealer, opener] = [await RecordCipher.start(suite, key), await RecordCipher.start(suite, key)];
    const sealed = await sealer.seal(utf8("hello"));
    const changed = sealed.slice();
    changed[0] = (changed[0] ?? 0) ^ 1;
    expect(await opener.open(changed)).toBeUndefined();
    expect(await opener.open(sealed)).toEqual(utf8("hello"));
    expect(await opener.open(sealed)).toBeUndefined();
  });

  describe("the link of the messages", async () => {
    const { ids, link: keys } = DRAFT;
    const link = MESSAGES.link;
    const start = async (change: Partial<LinkStart> = {}): Promise<LinkHandshake> => {
      const signer = await suite.signerFrom(bytesOf(ids.alice_seed));
      const [staticPair, ephemeral] = await Promise.all(
        [keys.client_noise_static, keys.client_ephemeral].map((key) => suite.dhFrom(bytesOf(key))),
      );
      if (!staticPair || !ephemeral) throw new Error("no keys");
      const given: LinkStart = {
        network: "main",
        networkSecret: new Uint8Array(32),
        signer,
        device: bytesOf(link.auth_fields.device),
        features: FEATURES.RESUME,
        token: "",
        agent: link.auth_fields.agent ?? "",
        checkServer: expectServer(bytesOf(ids.server)),
        resumeAt: noResume,
        ...change,
      };
      return LinkHandshake.begin(suite, given, { staticPair, ephemeral });
    };

    test("has the bytes that the vectors say, up to the first record", async () => {
      const handshake = await start();
      expect(hex(handshake.message1)).toBe(link.message1);
      const up = await handshake.answer(bytesOf(link.message2));
      expect(hex(up.server)).toBe(ids.server);
      expect(up.features).toBe(FEATURES.RESUME);
      expect(hex(up.message3)).toBe(link.message3);
      expect(hex((await up.opener.open(bytesOf(link.welcome_record))) ?? new Uint8Array())).toBe(
        link.welcome_stream,
      );
    });

    test("ends before message 3 when the server has another key", async () => {
      const handshake = await start({ checkServer: expectServer(bytesOf(ids.bob)) });
      await expect(handshake.answer(bytesOf(link.message2))).rejects.toThrow("another key");
    });

    test("ends when anything of message 2 was changed, or the network is another", async () => {
      const handshake = await start();
      const changed = bytesOf(link.message2);
      changed[60] = (changed[60] ?? 0) ^ 1;
      await expect(handshake.answer(changed)).rejects.toThrow(HandshakeError);
      await expect((await start()).answer(bytesOf(link.message2).slice(0, 40))).rejects.toThrow(
        HandshakeError,
      );
      await expect((await start({ network: "other" })).answer(bytesOf(link.message2))).rejects.toThrow(
        HandshakeError,
      );
      const closed = await start({ networkSecret: new Uint8Array(32).fill(1) });
      await expect(closed.answer(bytesOf(link.message2))).rejects.toThrow(HandshakeError);
    });

    /** A server of the test's own, which may say what it likes. */
    async function reply(
      handshake: LinkHandshake,
      version: number,
      prove: (h1: Bytes, key: Bytes) => Promise<Bytes>,
    ): Promise<Bytes> {
      const [staticPair, ephemeral] = [await suite.newDh(), await suite.newDh()];
      const prologue = concat(utf8("dchat/1/link\0main\0"), new Uint8Array(32));
      const noise = await Noise.start(suite, {
        pattern: "XX",
        initiator: false,
        prologue,
        staticPair,
        ephemeral,
      });
      await noise.read(handshake.message1);
      const sig = await prove(noise.hash, staticPair.publicKey);
      const fields = HelloReply.decode(bytesOf(link.hello_reply));
      return noise.write(HelloReply.encode({ ...fields, version, versions: [9], sig }));
    }

    test("ends when the server signed anything else, or speaks another version", async () => {
      const server = await suite.signerFrom(bytesOf(ids.server_seed));
      const handshake = await start();
      const wrong = await reply(handshake, 1, (h1) =>
        sign(server, "main", "link-server", h1, new Uint8Array(32)),
      );
      await expect(handshake.answer(wrong)).rejects.toThrow("did not prove");
      const other = await start();
      const old = await reply(other, 0, (h1, key) => sign(server, "main", "link-server", h1, key));
      await expect(other.answer(old)).rejects.toThrow(VersionError);
      const good = await start();
      const right = await reply(good, 1, (h1, key) => sign(server, "main", "link-server", h1, key));
      expect(hex((await good.answer(right)).server)).toBe(ids.server);
    });
  });
});
