// What an application in TypeScript writes: checked against the packed package, in an empty folder.

import {
  ChatError,
  Client,
  type Identity,
  IndexedDbKeyStore,
  type Message,
  type Missed,
  type State,
} from "darkchat-sdk";
import { safetyWords } from "darkchat-sdk/words";

export async function use(client: Client): Promise<void> {
  const state: State = client.state;
  const off = client.on("state", (next) => void next.name);
  const general = await client.join("#general");
  const sent: { id: string; local: number; servers: number } = await general.send("hello");
  for await (const item of general) {
    const one: Message | Missed = item;
    if (one.type === "message") void [one.text, one.time.getTime(), one.data.length, sent.id, state];
  }
  off();
  const words: readonly string[] = safetyWords(await client.direct("u").safetyDigest());
  const store = new IndexedDbKeyStore();
  const identity: Identity | undefined = await store.load();
  try {
    await using other = await Client.connect("ws://127.0.0.1:8546", {
      name: "ann",
      ...(identity && { identity }),
    });
    await other.close();
  } catch (error) {
    if (error instanceof ChatError && error.code === "connect") void words;
  }
  // @ts-expect-error: a client's key cannot be changed
  client.id = "u";
}
