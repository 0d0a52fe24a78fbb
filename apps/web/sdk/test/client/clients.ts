// Clients of the server in memory, which end with the test that connected them.

import { afterEach } from "vitest";
import { Client, type ClientOptions } from "../../src/index.ts";
import type { TestClock } from "../clock.ts";
import type { TestServer } from "../server.ts";

const open: Client[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close()));
});

/** Connects a client; without a clock its time is the machine's. */
export async function connect(
  server: TestServer,
  clock: TestClock | undefined,
  options: ClientOptions = {},
): Promise<Client> {
  const client = await Client.connect("ws://test", {
    webSocket: server.WebSocket,
    suite: server.suite,
    ...(clock === undefined ? {} : { clock }),
    ...options,
  });
  open.push(client);
  return client;
}
