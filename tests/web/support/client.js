/** A browser tab that runs the whole library and is signed in to a server. */

import { EventSource } from "eventsource";
import { WebSocket } from "ws";

import { Loa } from "../../../service/web/client/index.js";
import { createLocks, createStorage } from "./browser.js";
import { untilState } from "./wait.js";

/** The browser APIs of one tab. `shared`: those that it shares with other tabs. */
export function browserPlatform(shared = {}) {
  return {
    WebSocket,
    EventSource,
    // A single tab connects at once.
    BroadcastChannel: null,
    window: undefined,
    localStorage: createStorage(),
    sessionStorage: createStorage(),
    locks: createLocks(),
    ...shared,
  };
}

/** Sign in the user with this index, and resolve when the socket and the stream are online. */
export async function signedInClient(t, server, userIndex, shared) {
  const loa = new Loa({ server: server.url, ...browserPlatform(shared) });
  t.after(() => loa.stop());
  loa.start();
  if (!loa.session.user) await loa.session.login(`user${userIndex}`, "right");
  await untilState(loa.store, ({ chat, stream }) => chat.status === "online" && stream.status === "online");
  return loa;
}
