// What the tests with real programs share.

import WebSocket from "ws";
import { type Channel, Client, type ClientOptions, type Message, type Missed } from "../../src/index.ts";
import { cleanUp } from "./programs.ts";

const clients: Client[] = [];

/** Connects a client that `endAll` closes. */
export async function connect(url: string | string[], options: ClientOptions = {}): Promise<Client> {
  const client = await Client.connect(url, { webSocket: WebSocket, ...options });
  clients.push(client);
  return client;
}

/** Closes every client and ends every program. */
export async function endAll(): Promise<void> {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await cleanUp();
}

/** Reads a channel or an inbox one item at a time. */
export function reader<T>(items: AsyncIterable<T>): () => Promise<T> {
  const iterator = items[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await iterator.next();
    if (done) throw new Error("it ended");
    return value;
  };
}

/** The next message of a channel. */
export async function nextText(read: () => Promise<Message | Missed>): Promise<Message> {
  for (;;) {
    const item = await read();
    if (item.type === "message") return item;
  }
}

/** Resolves when a client is in that state. */
export function stateOf(client: Client, name: string): Promise<void> {
  if (client.state.name === name) return Promise.resolve();
  return new Promise((resolve) => {
    const off = client.on("state", (state) => {
      if (state.name !== name) return;
      off();
      resolve();
    });
  });
}

/** Resolves when two servers carry posts from the first client's to the second's. */
export async function linked(one: Client, other: Client): Promise<void> {
  const name = `probe-${one.id.slice(1, 9)}`;
  const [from, to]: [Channel, Channel] = [await one.join(name), await other.join(name)];
  while ((await from.send("?")).servers === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  await Promise.all([from.leave(), to.leave()]);
}
