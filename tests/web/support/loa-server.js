/**
 * A small in-memory Loa server with the real server's protocol over REST, socket and stream. The test controls the
 * faults of its network.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

import { notification } from "./stream-server.js";
import { flushEventLoop } from "./wait.js";

/** Items per page, and messages per answer to a `sync`; small, so that the tests page. */
const PAGE_SIZE = 4;
const SYNC_SIZE = 3;

export function user(index) {
  const id = `${index}`.padStart(24, "a");
  return { id, username: `user${index}`, display_name: `User ${index}`, avatar: null };
}

/** Start a server with `users` users, who can sign in with any password. */
export async function startLoaServer(t, { users = 3 } = {}) {
  const loa = new FakeLoa(Array.from({ length: users }, (_, index) => user(index)));
  const server = createServer((request, response) => loa.onRequest(request, response));
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket, request) => loa.onConnection(socket, request));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  loa.url = `http://127.0.0.1:${server.address().port}`;
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await flushEventLoop();
  });
  return loa;
}

/** A token is the user's id; other tokens of the same user have a suffix. */
function userOf(token) {
  return token?.split("#")[0];
}

class FakeLoa {
  conversations = new Map();
  connections = new Set();
  streams = new Set();
  inboxes = new Map();
  /**
   * Decides what happens to an event on its way: "deliver", "drop", "duplicate", "delay" (until after the next event),
   * "disconnect".
   */
  networkFault = () => "deliver";
  /** Called with each REST call, as "GET /path", after its response was composed; the response waits for it. */
  beforeResponse = async () => {};
  calls = [];

  constructor(users) {
    this.users = new Map(users.map((user) => [user.id, user]));
    for (const { id } of users) this.inboxes.set(id, { items: [], read: new Set() });
  }

  // Actions of users.

  createConversation(...members) {
    const id = `${this.conversations.size + 1}`.padStart(24, "c");
    const at = new Date(1.7e12).toISOString();
    this.conversations.set(id, { id, members, title: null, at, messages: [], rev: 0, reads: {} });
    this.#sendDetails(id);
    return id;
  }

  rename(id, title) {
    this.conversations.get(id).title = title;
    this.#sendDetails(id);
  }

  removeParticipant(id, userId) {
    const conversation = this.conversations.get(id);
    conversation.members = conversation.members.filter((member) => member !== userId);
    this.#broadcast([userId], { type: "conversation_removed", conversation_id: id });
  }

  sendMessage(id, sender_id, content, { nonce = null, reply_to = null } = {}) {
    const conversation = this.conversations.get(id);
    const existing =
      nonce && conversation.messages.find((message) => message.nonce === nonce && message.sender_id === sender_id);
    if (existing) return existing;
    const seq = conversation.messages.length + 1;
    const created_at = new Date(1.7e12 + ++conversation.rev * 1000).toISOString();
    const stored = {
      ...{ id: `${id.slice(-6)}${seq}`.padStart(24, "0"), conversation_id: id, seq, rev: conversation.rev, sender_id },
      ...{ content, nonce, reply_to, created_at, edited_at: null, deleted: false, reactions: {} },
    };
    conversation.messages.push(stored);
    conversation.reads[sender_id] = seq;
    this.#broadcast(conversation.members, { type: "new_message", conversation_id: id, data: stored });
    return stored;
  }

  updateMessage(id, seq, changes) {
    const conversation = this.conversations.get(id);
    const updated = { ...conversation.messages[seq - 1], ...changes, rev: ++conversation.rev };
    conversation.messages[seq - 1] = updated;
    this.#broadcast(conversation.members, { type: "message_updated", conversation_id: id, data: updated });
  }

  markRead(id, user_id, seq) {
    const { reads, members } = this.conversations.get(id);
    reads[user_id] = Math.max(reads[user_id] ?? 0, seq);
    this.#broadcast(members, { type: "read", conversation_id: id, data: { user_id, seq: reads[user_id] } });
  }

  sendTyping(id, user_id, expires_in = 5) {
    const others = this.conversations.get(id).members.filter((member) => member !== user_id);
    this.#broadcast(others, { type: "typing", conversation_id: id, data: { user_id, expires_in } });
  }

  notify(userId) {
    const inbox = this.inboxes.get(userId);
    inbox.items.push(notification(inbox.items.length + 1));
    this.#sendToStreams(userId, `id: ${inbox.items.length}\ndata: ${JSON.stringify(inbox.items.at(-1))}\n\n`);
    this.#sendUnreadCount(userId);
  }

  markNotifications(userId, matches) {
    const inbox = this.inboxes.get(userId);
    for (const { seq, data } of inbox.items) if (matches({ seq, ...data })) inbox.read.add(seq);
    this.#sendUnreadCount(userId);
  }

  /** Close all sockets, or those of one user. */
  closeSockets(code, reason, userId) {
    for (const connection of [...this.connections]) {
      if (!userId || connection.userId === userId) connection.socket.close(code, reason);
    }
  }

  sendReset() {
    for (const connection of this.connections) connection.send({ type: "reset", data: { reason: "test" } });
  }

  /** Announce a conversation as to the members of a large group: without what is different for each of them. */
  announceLarge(id) {
    const { members } = this.conversations.get(id);
    const data = { ...this.details(id, members[0]), last_read_seq: null, unread_count: null };
    this.#broadcast(members, { type: "conversation_updated", conversation_id: id, data });
  }

  #sendDetails(id) {
    for (const userId of this.conversations.get(id).members) {
      this.#broadcast([userId], { type: "conversation_updated", conversation_id: id, data: this.details(id, userId) });
    }
  }

  #broadcast(userIds, frame) {
    const receivers = [...this.connections].filter(({ userId }) => userIds.includes(userId));
    for (const connection of receivers) connection.sendEvent(frame);
  }

  #sendToStreams(userId, text) {
    for (const stream of this.streams) if (stream.userId === userId) stream.response.write(text);
  }

  #sendUnreadCount(userId) {
    this.#sendToStreams(userId, `event: unread_count\ndata: ${JSON.stringify(this.#unreadCount(userId))}\n\n`);
  }

  #unreadCount(userId) {
    const { items, read } = this.inboxes.get(userId);
    return { seq: items.length, unread_count: items.length - read.size };
  }

  // Queries.

  details(id, userId) {
    const { members, title, at, messages, rev, reads } = this.conversations.get(id);
    const last = messages.at(-1) ?? null;
    return {
      ...{ id, kind: "group", title, participant_ids: members, owner_id: members[0], created_at: at },
      participants: members.map((member) => this.users.get(member)),
      ...{ last_activity_at: last?.created_at ?? at, last_message: last, last_seq: messages.length, last_rev: rev },
      last_read_seq: reads[userId] ?? 0,
      unread_count: messages.filter(({ seq, deleted }) => seq > (reads[userId] ?? 0) && !deleted).length,
      read_marks: Object.fromEntries(members.filter((id) => id !== userId).map((id) => [id, reads[id] ?? 0])),
    };
  }

  changes(id, after, limit) {
    const changed = this.conversations.get(id).messages.filter(({ rev }) => rev > after);
    changed.sort((a, b) => a.rev - b.rev);
    return { items: changed.slice(0, limit), more: changed.length > limit };
  }

  conversationsOf(userId) {
    return [...this.conversations.values()].filter(({ members }) => members.includes(userId));
  }

  // Transport.

  onConnection(socket, request) {
    const { searchParams } = new URL(request.url, "http://localhost");
    new Connection(this, socket, userOf(searchParams.get("token")));
  }

  async onRequest(request, response) {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    const userId = userOf(request.headers.authorization?.replace("Bearer ", "") ?? searchParams.get("ticket"));
    const [, , , ...path] = pathname.split("/");
    this.calls.push(`${request.method} /${path.join("/")}`);
    if (path.join("/") === "notifications/stream") return this.#openStream(userId, searchParams, response);
    const query = Object.fromEntries(searchParams);
    const body = this.#respond(userId, request.method, path, query, text && JSON.parse(text));
    await this.beforeResponse(this.calls.at(-1));
    response.writeHead(body?.code ? body.status : 200, { "Content-Type": "application/json" });
    response.end(JSON.stringify(body ?? {}));
  }

  #respond(userId, method, [resource, id, part, messageId], query, body) {
    if (resource === "auth" && id === "login") {
      const found = [...this.users.values()].find(({ username }) => username === body.username);
      return { user: found, access_token: found.id, refresh_token: "r", token_type: "bearer", expires_in: 900 };
    }
    if (resource === "auth" && id === "ticket") return { ticket: userId };
    if (resource === "conversations" && !id) return this.#conversationPage(userId, query);
    if (resource === "conversations") {
      const conversation = this.conversations.get(id);
      if (!conversation?.members.includes(userId)) return { status: 404, code: "not_found", detail: "Not found." };
      if (!part) return this.details(id, userId);
      if (messageId) return this.#changeMessage(conversation, userId, messageId, body);
      if (query.after_rev) {
        const { items, more } = this.changes(id, Number(query.after_rev), SYNC_SIZE);
        return { items, next: more ? items.at(-1).rev : null };
      }
      const end = Number(query.before) - 1;
      const first = Math.max(1, end + 1 - PAGE_SIZE);
      return { items: conversation.messages.slice(first - 1, end), next: first > 1 ? first : null };
    }
    if (resource === "notifications" && method === "PUT") {
      const upTo = body.up_to_seq;
      this.markNotifications(userId, upTo ? ({ seq }) => seq <= upTo : ({ notification_id }) => notification_id === id);
      return { unread_count: this.#unreadCount(userId).unread_count };
    }
    const { items, read } = this.inboxes.get(userId);
    const before = Number(query.before ?? items.length + 1);
    const page = items.filter(({ seq }) => seq < before).slice(-PAGE_SIZE);
    const withRead = page.map((item) => ({ ...item, data: { ...item.data, read: read.has(item.seq) } }));
    return { items: withRead.reverse(), next: page[0]?.seq > 1 ? page[0].seq : null };
  }

  /** Edit a message; without a body, delete it. */
  #changeMessage({ id, messages }, userId, messageId, body) {
    const { seq, sender_id } = messages.find((message) => message.id === messageId);
    if (sender_id !== userId) return { status: 403, code: "forbidden", detail: "Forbidden." };
    this.updateMessage(id, seq, body ? { content: body.content } : { content: "", deleted: true });
    return messages[seq - 1];
  }

  #conversationPage(userId, { before }) {
    const ids = this.conversationsOf(userId).map(({ id }) => id).reverse();
    const start = before ? ids.indexOf(before) + 1 : 0;
    const items = ids.slice(start, start + PAGE_SIZE).map((id) => this.details(id, userId));
    return { items, next: start + PAGE_SIZE < ids.length ? items.at(-1).id : null };
  }

  #openStream(userId, searchParams, response) {
    const stream = { userId, response };
    this.streams.add(stream);
    response.on("close", () => this.streams.delete(stream));
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const hello = { ...this.#unreadCount(userId), heartbeat_interval: 20, token_expires_at: new Date().toISOString() };
    response.write(`event: hello\ndata: ${JSON.stringify(hello)}\n\n`);
    const after = Number(searchParams.get("last_event_id") ?? hello.seq);
    for (const item of this.inboxes.get(userId).items.slice(after)) {
      response.write(`id: ${item.seq}\ndata: ${JSON.stringify(item)}\n\n`);
    }
  }
}

class Connection {
  #delayed = [];

  constructor(loa, socket, userId) {
    this.loa = loa;
    this.socket = socket;
    this.userId = userId;
    loa.connections.add(this);
    socket.on("close", () => loa.connections.delete(this));
    socket.on("message", (data) => this.#onFrame(JSON.parse(String(data))));
    this.send({
      ...{ type: "hello", connection_id: "1", user_id: userId, server_time: "", heartbeat_interval: 25 },
      ...{ max_message_bytes: 65536, token_expires_at: "" },
      conversations: loa.conversationsOf(userId).map(({ id, messages, rev, reads }) => ({
        ...{ conversation_id: id, last_seq: messages.length, last_rev: rev, last_read_seq: reads[userId] ?? 0 },
      })),
    });
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Send an event over the faulty network. */
  sendEvent(frame) {
    const fault = this.loa.networkFault(this, frame);
    if (fault === "disconnect") {
      this.loa.connections.delete(this);
      this.socket.terminate();
    }
    if (fault === "delay") this.#delayed.push(frame);
    if (fault === "disconnect" || fault === "drop" || fault === "delay") return;
    this.send(frame);
    if (fault === "duplicate") this.send(frame);
    for (const delayed of this.#delayed.splice(0)) this.send(delayed);
  }

  #onFrame(frame) {
    const { loa, userId } = this;
    const ack = (data) => this.send({ type: "ack", ref: frame.ref, data });
    switch (frame.type) {
      case "send_message":
        return ack(loa.sendMessage(frame.conversation_id, userId, frame.content, frame));
      case "read":
        loa.markRead(frame.conversation_id, userId, frame.seq);
        return ack();
      case "sync":
        for (const [conversation_id, rev] of Object.entries(frame.conversations)) {
          const conversation = loa.conversations.get(conversation_id);
          if (conversation?.members.includes(userId)) {
            const { items: messages, more } = loa.changes(conversation_id, rev, SYNC_SIZE);
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
