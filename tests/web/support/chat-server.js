/** A WebSocket server whose frames the test sends. */

import { once } from "node:events";
import { WebSocketServer } from "ws";

import { Queue, flushEventLoop } from "./wait.js";

export const ME = "0000000000000000000000aa";
export const OTHER = "0000000000000000000000bb";
export const CONVERSATION = "c00000000000000000000001";
export const GROUP = "c00000000000000000000002";

export async function startChatServer(t) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  const peers = new Queue();
  server.on("connection", (socket, request) => peers.put(new Peer(socket, request)));
  await once(server, "listening");
  t.after(async () => {
    for (const socket of server.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
    // Let the clients notice the end: timers that they clear during the next test would disturb its fake clock.
    await flushEventLoop();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Wait for the next connection. */
    nextPeer: () => peers.next(),
    /** Wait for the next connection and send the hello. */
    async greetedPeer(more) {
      const peer = await peers.next();
      peer.hello(more);
      return peer;
    },
    /** The number of connections that the test has not taken with `nextPeer`. */
    get waitingPeers() {
      return peers.size;
    },
  };
}

class Peer {
  #frames = new Queue();

  constructor(socket, request) {
    this.socket = socket;
    this.query = new URL(request.url, "http://localhost").searchParams;
    this.path = new URL(request.url, "http://localhost").pathname;
    socket.on("message", (data) => {
      this.#frames.put(JSON.parse(String(data)));
    });
    this.closed = once(socket, "close");
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  hello({ conversations = [], ...more } = {}) {
    this.send({
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

  /** Wait for the client's next frame and check its type. */
  async receive(type) {
    const frame = await this.#frames.next();
    if (frame.type !== type) throw new Error(`Expected ${type}, received ${JSON.stringify(frame)}.`);
    return frame;
  }

  /** The number of received frames that the test has not taken with `receive`. */
  get waitingFrames() {
    return this.#frames.size;
  }

  ack({ ref }, data) {
    this.send({ type: "ack", ref, ...(data && { data }) });
  }

  sendError({ ref }, code, more = {}) {
    this.send({ type: "error", ref, code, detail: `The code is ${code}.`, ...more });
  }

  /** Acknowledge a `send_message` frame with the stored message, and return that. */
  ackStored({ conversation_id, content, nonce, reply_to, ref }, { seq, rev = seq }) {
    const data = message(seq, rev, { conversation_id, sender_id: ME, content, nonce, reply_to });
    this.ack({ ref }, data);
    return data;
  }

  /** Stop reading and writing without closing the connection, as if the network had failed. */
  freeze() {
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
    conversation_id: CONVERSATION,
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

export function messageEvent(data, type = "new_message") {
  return { type, conversation_id: data.conversation_id, data };
}

/** The answer to `sync` for one conversation. */
export function syncFrame(messages, last_rev, { complete = true } = {}) {
  return { type: "sync", conversation_id: CONVERSATION, data: { messages, last_rev, complete } };
}

/** A conversation as the hello lists it. */
export function head(last_rev, { conversation_id = CONVERSATION, last_seq = last_rev, last_read_seq = 0 } = {}) {
  return { conversation_id, last_seq, last_rev, last_read_seq };
}
