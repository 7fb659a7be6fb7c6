/**
 * A small Loa in memory, with the same words as the real one on its REST calls, socket and stream, whose network the
 * test can make as bad as it likes.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

import { notification } from "./stream-server.js";
import { settled } from "./until.js";

const PAGE = 4;
/** Messages in one answer to a `sync`; small, so that paging happens. */
const SYNC = 3;

export function user(place) {
  const id = `${place}`.padStart(24, "a");
  return { id, username: `user${place}`, display_name: `User ${place}`, avatar: null };
}

export async function loaServer(t, { users = 3 } = {}) {
  const world = new World(Array.from({ length: users }, (_, place) => user(place)));
  const server = createServer((request, response) => world.answer(request, response));
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket, request) => world.connect(socket, request));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  world.url = `http://127.0.0.1:${server.address().port}`;
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await settled();
  });
  return world;
}

class World {
  conversations = new Map();
  connections = new Set();
  streams = new Set();
  inboxes = new Map();
  /** What becomes of a frame on its way: "pass", "lose", "repeat", "late" (after the next), "cut" (the connection). */
  fate = () => "pass";
  /** What an answer waits for, once it is made up. */
  delay = async () => {};
  calls = [];

  constructor(users) {
    this.users = new Map(users.map((one) => [one.id, one]));
    for (const { id } of users) this.inboxes.set(id, { items: [], read: new Set() });
  }

  // What people do.

  begin(...members) {
    const id = `${this.conversations.size + 1}`.padStart(24, "c");
    const at = new Date(1.7e12).toISOString();
    this.conversations.set(id, { id, members, title: null, at, messages: [], rev: 0, reads: {} });
    this.#tellDetails(id);
    return id;
  }

  rename(id, title) {
    this.conversations.get(id).title = title;
    this.#tellDetails(id);
  }

  expel(id, userId) {
    const conversation = this.conversations.get(id);
    conversation.members = conversation.members.filter((member) => member !== userId);
    this.#tell([userId], { type: "conversation_removed", conversation_id: id });
  }

  say(id, sender_id, content, { nonce = null, reply_to = null } = {}) {
    const conversation = this.conversations.get(id);
    const known = nonce && conversation.messages.find((one) => one.nonce === nonce && one.sender_id === sender_id);
    if (known) return known;
    const seq = conversation.messages.length + 1;
    const created_at = new Date(1.7e12 + ++conversation.rev * 1000).toISOString();
    const stored = {
      ...{ id: `${id.slice(-6)}${seq}`.padStart(24, "0"), conversation_id: id, seq, rev: conversation.rev, sender_id },
      ...{ content, nonce, reply_to, created_at, edited_at: null, deleted: false, reactions: {} },
    };
    conversation.messages.push(stored);
    conversation.reads[sender_id] = seq;
    this.#tell(conversation.members, { type: "new_message", conversation_id: id, data: stored });
    return stored;
  }

  change(id, seq, changes) {
    const conversation = this.conversations.get(id);
    const changed = { ...conversation.messages[seq - 1], ...changes, rev: ++conversation.rev };
    conversation.messages[seq - 1] = changed;
    this.#tell(conversation.members, { type: "message_updated", conversation_id: id, data: changed });
  }

  read(id, user_id, seq) {
    const { reads, members } = this.conversations.get(id);
    reads[user_id] = Math.max(reads[user_id] ?? 0, seq);
    this.#tell(members, { type: "read", conversation_id: id, data: { user_id, seq: reads[user_id] } });
  }

  type(id, user_id, expires_in = 5) {
    const others = this.conversations.get(id).members.filter((member) => member !== user_id);
    this.#tell(others, { type: "typing", conversation_id: id, data: { user_id, expires_in } });
  }

  notify(userId) {
    const inbox = this.inboxes.get(userId);
    inbox.items.push(notification(inbox.items.length + 1));
    this.#stream(userId, `id: ${inbox.items.length}\ndata: ${JSON.stringify(inbox.items.at(-1))}\n\n`);
    this.#tellUnread(userId);
  }

  markNotifications(userId, which) {
    const inbox = this.inboxes.get(userId);
    for (const { seq, data } of inbox.items) if (which({ seq, ...data })) inbox.read.add(seq);
    this.#tellUnread(userId);
  }

  /** End every socket, or those of one person, with this code. */
  close(code, reason, userId) {
    for (const connection of [...this.connections]) {
      if (!userId || connection.userId === userId) connection.socket.close(code, reason);
    }
  }

  reset() {
    for (const connection of this.connections) connection.send({ type: "reset", data: { reason: "test" } });
  }

  #tellDetails(id) {
    for (const userId of this.conversations.get(id).members) {
      this.#tell([userId], { type: "conversation_updated", conversation_id: id, data: this.details(id, userId) });
    }
  }

  #tell(userIds, frame) {
    for (const connection of [...this.connections]) if (userIds.includes(connection.userId)) connection.tell(frame);
  }

  #stream(userId, text) {
    for (const stream of this.streams) if (stream.userId === userId) stream.response.write(text);
  }

  #tellUnread(userId) {
    this.#stream(userId, `event: unread_count\ndata: ${JSON.stringify(this.#count(userId))}\n\n`);
  }

  #count(userId) {
    const { items, read } = this.inboxes.get(userId);
    return { seq: items.length, unread_count: items.length - read.size };
  }

  // What the server knows.

  details(id, userId) {
    const { members, title, at, messages, rev, reads } = this.conversations.get(id);
    const last = messages.at(-1) ?? null;
    return {
      ...{ id, kind: "group", title, participant_ids: members, owner_id: members[0], created_at: at },
      participants: members.map((member) => this.users.get(member)),
      ...{ last_activity_at: last?.created_at ?? at, last_message: last, last_seq: messages.length, last_rev: rev },
      last_read_seq: reads[userId] ?? 0,
      unread_count: messages.length - (reads[userId] ?? 0),
    };
  }

  changes(id, after, limit) {
    const changed = this.conversations.get(id).messages.filter(({ rev }) => rev > after);
    changed.sort((one, other) => one.rev - other.rev);
    return { items: changed.slice(0, limit), more: changed.length > limit };
  }

  of(userId) {
    return [...this.conversations.values()].filter(({ members }) => members.includes(userId));
  }

  // How it is told.

  connect(socket, request) {
    const { searchParams } = new URL(request.url, "http://localhost");
    new Connection(this, socket, searchParams.get("token"));
  }

  async answer(request, response) {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    const userId = request.headers.authorization?.replace("Bearer ", "") ?? searchParams.get("ticket");
    const [, , , ...path] = pathname.split("/");
    this.calls.push(`${request.method} /${path.join("/")}`);
    if (path.join("/") === "notifications/stream") return this.#open(userId, searchParams, response);
    const body = this.#call(userId, request.method, path, Object.fromEntries(searchParams), text && JSON.parse(text));
    await this.delay(this.calls.at(-1));
    response.writeHead(body?.code ? body.status : 200, { "Content-Type": "application/json" });
    response.end(JSON.stringify(body ?? {}));
  }

  #call(userId, method, [noun, id, part], query, body) {
    if (noun === "auth" && id === "login") {
      const found = [...this.users.values()].find(({ username }) => username === body.username);
      return { user: found, access_token: found.id, refresh_token: "r", token_type: "bearer", expires_in: 900 };
    }
    if (noun === "auth" && id === "ticket") return { ticket: userId };
    if (noun === "conversations" && !id) return this.#page(userId, query);
    if (noun === "conversations") {
      const conversation = this.conversations.get(id);
      if (!conversation?.members.includes(userId)) return { status: 404, code: "not_found", detail: "No." };
      if (!part) return this.details(id, userId);
      if (query.after_rev) {
        const { items, more } = this.changes(id, Number(query.after_rev), SYNC);
        return { items, next: more ? items.at(-1).rev : null };
      }
      const end = Number(query.before) - 1;
      const first = Math.max(1, end + 1 - PAGE);
      return { items: conversation.messages.slice(first - 1, end), next: first > 1 ? first : null };
    }
    if (noun === "notifications" && method === "PUT") {
      const upTo = body.up_to_seq;
      this.markNotifications(userId, upTo ? ({ seq }) => seq <= upTo : ({ notification_id }) => notification_id === id);
      return { unread_count: this.#count(userId).unread_count };
    }
    const { items, read } = this.inboxes.get(userId);
    const before = Number(query.before ?? items.length + 1);
    const page = items.filter(({ seq }) => seq < before).slice(-PAGE);
    const shown = page.map((one) => ({ ...one, data: { ...one.data, read: read.has(one.seq) } }));
    return { items: shown.reverse(), next: page[0]?.seq > 1 ? page[0].seq : null };
  }

  #page(userId, { before }) {
    const ids = this.of(userId).map(({ id }) => id).reverse();
    const start = before ? ids.indexOf(before) + 1 : 0;
    const items = ids.slice(start, start + PAGE).map((id) => this.details(id, userId));
    return { items, next: start + PAGE < ids.length ? items.at(-1).id : null };
  }

  #open(userId, searchParams, response) {
    const stream = { userId, response };
    this.streams.add(stream);
    response.on("close", () => this.streams.delete(stream));
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const hello = { ...this.#count(userId), heartbeat_interval: 20, token_expires_at: new Date().toISOString() };
    response.write(`event: hello\ndata: ${JSON.stringify(hello)}\n\n`);
    const after = Number(searchParams.get("last_event_id") ?? hello.seq);
    for (const one of this.inboxes.get(userId).items.slice(after)) {
      response.write(`id: ${one.seq}\ndata: ${JSON.stringify(one)}\n\n`);
    }
  }
}

class Connection {
  #late = [];

  constructor(world, socket, userId) {
    this.world = world;
    this.socket = socket;
    this.userId = userId;
    world.connections.add(this);
    socket.on("close", () => world.connections.delete(this));
    socket.on("message", (data) => this.#hear(JSON.parse(String(data))));
    this.send({
      ...{ type: "hello", connection_id: "1", user_id: userId, server_time: "", heartbeat_interval: 25 },
      ...{ max_message_bytes: 65536, token_expires_at: "" },
      conversations: world.of(userId).map(({ id, messages, rev, reads }) => ({
        ...{ conversation_id: id, last_seq: messages.length, last_rev: rev, last_read_seq: reads[userId] ?? 0 },
      })),
    });
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Send an event over the bad network. */
  tell(frame) {
    const fate = this.world.fate(this, frame);
    if (fate === "cut") {
      this.world.connections.delete(this);
      this.socket.terminate();
    }
    if (fate === "late") this.#late.push(frame);
    if (fate === "cut" || fate === "lose" || fate === "late") return;
    this.send(frame);
    if (fate === "repeat") this.send(frame);
    for (const late of this.#late.splice(0)) this.send(late);
  }

  #hear(frame) {
    const { world, userId } = this;
    const ack = (data) => this.send({ type: "ack", ref: frame.ref, data });
    switch (frame.type) {
      case "send_message":
        return ack(world.say(frame.conversation_id, userId, frame.content, frame));
      case "read":
        world.read(frame.conversation_id, userId, frame.seq);
        return ack();
      case "sync":
        for (const [conversation_id, rev] of Object.entries(frame.conversations)) {
          const conversation = world.conversations.get(conversation_id);
          if (conversation?.members.includes(userId)) {
            const { items: messages, more } = world.changes(conversation_id, rev, SYNC);
            const data = { messages, last_rev: conversation.rev, complete: !more };
            this.send({ type: "sync", conversation_id, data });
          } else this.send({ type: "conversation_removed", conversation_id });
        }
        return ack();
      default:
        return ack();
    }
  }
}
