/** A browser tab with the whole library in it, signed in to a server. */

import { EventSource } from "eventsource";
import { WebSocket } from "ws";

import { Loa } from "../../../service/web/client/index.js";
import { locks, storage } from "./browser.js";
import { state } from "./until.js";

/** What each tab of one browser has of its own, and what they share. */
export function platform(shared = {}) {
  return {
    WebSocket,
    EventSource,
    BroadcastChannel,
    window: undefined,
    localStorage: storage(),
    sessionStorage: storage(),
    locks: locks(),
    ...shared,
  };
}

export async function client(t, server, place, shared) {
  const loa = new Loa({ server: server.url, ...platform(shared) });
  t.after(() => loa.stop());
  loa.start();
  if (!loa.session.user) await loa.session.login(`user${place}`, "right");
  await state(loa.store, ({ chat, stream }) => chat.status === "online" && stream.status === "online");
  return loa;
}
