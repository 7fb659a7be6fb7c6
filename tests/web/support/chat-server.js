/** A WebSocket server of which the test says every word. */

import { once } from "node:events";
import { WebSocketServer } from "ws";

import { Queue, settled } from "./until.js";

export const ME = "0000000000000000000000aa";
export const OTHER = "0000000000000000000000bb";
export const TALK = "c00000000000000000000001";
export const GROUP = "c00000000000000000000002";

export async function chatServer(t) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  const peers = new Queue();
  server.on("connection", (socket, request) => peers.put(new Peer(socket, request)));
  await once(server, "listening");
  t.after(async () => {
    for (const socket of server.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
    // Until the clients have seen it: timers that are cleared in the next test would confuse its fake clock.
    await settled();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** The next connection that is made. */
    peer: () => peers.next(),
    /** The next connection, with the server's first word said. */
    async greeted(more) {
      const peer = await peers.next();
      peer.hello(more);
      return peer;
    },
    /** How many connections were made that nobody has looked at. */
    get unseen() {
      return peers.size;
    },
  };
}

class Peer {
  #frames = new Queue();
  /** What the client says of its own accord, but does not matter to a test. */
  #ignored = new Set();

  constructor(socket, request) {
    this.socket = socket;
    this.query = new URL(request.url, "http://localhost").searchParams;
    this.path = new URL(request.url, "http://localhost").pathname;
    socket.on("message", (data) => {
      const frame = JSON.parse(String(data));
      if (!this.#ignored.has(frame.type)) this.#frames.put(frame);
    });
    this.closed = once(socket, "close");
  }

  ignore(...types) {
    for (const type of types) this.#ignored.add(type);
  }

  say(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  hello({ conversations = [], ...more } = {}) {
    this.say({
      type: "hello",
      connection_id: "1",
      user_id: ME,
      server_time: new Date().toISOString(),
      heartbeat_interval: 25,
      max_message_bytes: 65536,
      token_expires_at: new Date(Date.now() + 900_000).toISOString(),
      conversations,
      ...more,
    });
  }

  /** The next frame the client says, which has to be of this type. */
  async hear(type) {
    const frame = await this.#frames.next();
    if (frame.type !== type) throw new Error(`The client said ${JSON.stringify(frame)}, not ${type}.`);
    return frame;
  }

  /** How many frames the client has said that nobody has looked at. */
  get unheard() {
    return this.#frames.size;
  }

  ack({ ref }, data) {
    this.say({ type: "ack", ref, ...(data && { data }) });
  }

  refuse({ ref }, code, more = {}) {
    this.say({ type: "error", ref, code, detail: `It is ${code}.`, ...more });
  }

  /** Take a message as the server does: answer it. */
  store({ conversation_id, content, nonce, reply_to, ref }, { seq, rev = seq }) {
    const data = message(seq, rev, { conversation_id, sender_id: ME, content, nonce, reply_to });
    this.ack({ ref }, data);
    return data;
  }

  /** Stop reading and writing, as a peer does whose network is gone: nothing is closed. */
  vanish() {
    this.socket._socket.pause();
    this.socket._socket.write = () => true;
  }

  close(code, reason) {
    this.socket.close(code, reason);
  }
}

export function message(seq, rev = seq, more = {}) {
  return {
    id: `${seq}`.padStart(24, "0"),
    conversation_id: TALK,
    seq,
    rev,
    sender_id: OTHER,
    content: `message ${seq}.${rev}`,
    nonce: null,
    reply_to: null,
    created_at: new Date(1.7e12 + seq * 1000).toISOString(),
    edited_at: null,
    deleted: false,
    reactions: {},
    ...more,
  };
}

export function said(data, type = "new_message") {
  return { type, conversation_id: data.conversation_id, data };
}

export function standing(last_rev, { conversation_id = TALK, last_seq = last_rev, last_read_seq = 0 } = {}) {
  return { conversation_id, last_seq, last_rev, last_read_seq };
}
