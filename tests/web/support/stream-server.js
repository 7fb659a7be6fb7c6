/** A server of event streams whose events the test sends. */

import { once } from "node:events";
import { createServer } from "node:http";

import { Queue, flushEventLoop } from "./wait.js";

export async function startStreamServer(t) {
  const peers = new Queue();
  const server = createServer((request, response) => peers.put(new Peer(request, response)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await flushEventLoop();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Wait for the next request of a stream. */
    nextPeer: () => peers.next(),
    /** Wait for the next request, open the stream and send the hello. */
    async greetedPeer(more) {
      const peer = await peers.next();
      peer.open();
      peer.hello(more);
      return peer;
    },
    /** The number of requests that the test has not taken with `nextPeer`. */
    get waitingPeers() {
      return peers.size;
    },
  };
}

class Peer {
  constructor(request, response) {
    const url = new URL(request.url, "http://localhost");
    this.path = url.pathname;
    this.ticket = url.searchParams.get("ticket");
    this.after = url.searchParams.get("last_event_id");
    this.response = response;
    this.closed = once(response, "close");
  }

  open() {
    this.response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    this.response.write("retry: 3000\n\n");
  }

  reject(status) {
    this.response.writeHead(status).end();
  }

  hello({ seq = 0, unread_count = 0 } = {}) {
    const token_expires_at = new Date(Date.now() + 900_000).toISOString();
    this.send("hello", { seq, unread_count, heartbeat_interval: 20, token_expires_at });
  }

  send(type, data) {
    this.response.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  notify(...seqs) {
    for (const seq of seqs) this.response.write(`id: ${seq}\ndata: ${JSON.stringify(notification(seq))}\n\n`);
  }

  end() {
    this.response.end();
  }
}

export function notification(seq, read = false) {
  return {
    type: "NEW_COMMENT",
    seq,
    data: {
      notification_id: `${seq}`.padStart(24, "0"),
      sender: { id: "0000000000000000000000bb", display_name: "Bình", avatar: null },
      post_id: "d00000000000000000000001",
      comment_id: "e00000000000000000000001",
      preview: `comment ${seq}`,
      created_at: new Date(1.7e12 + seq * 1000).toISOString(),
      read,
    },
  };
}
