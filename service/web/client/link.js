/** One WebSocket, from its opening to its end. */

import { LoaError } from "./errors.js";

/** Milliseconds from opening to `hello`; a network that swallows packets would take minutes to say so. */
const OPENING = 15_000;
/** Milliseconds in which a server that is there answers a ping. */
const ANSWERING = 10_000;
/** Seconds between two tries of what cannot be done just now, where the server has not said. */
const MAX_PATIENCE = 20;

/** @typedef {import("./types.js").Frame} Frame */
/** @typedef {{resolve: (data: any) => void, reject: (error: LoaError) => void}} Waiting */

/**
 * Frames in and out, answers to requests, and a watchdog: the browser answers the server's pings by itself and keeps
 * that from the page, so a connection that has died in silence (half-open) only shows when one asks something.
 */
export class Link {
  #socket;
  #hear;
  #closed;
  /** @type {Map<string, Waiting>} */
  #waiting = new Map();
  /** @type {Set<() => void>} */
  #pauses = new Set();
  #refs = 0;
  #heard = false;
  #heartbeat = 0;
  #maxBytes = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;
  open = true;

  /**
   * @param {WebSocket} socket
   * @param {(frame: Frame) => void} hear every frame that answers nothing
   * @param {(code: number, reason: string) => void} closed called once, unless `drop` was
   */
  constructor(socket, hear, closed) {
    this.#socket = socket;
    this.#hear = hear;
    this.#closed = closed;
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    // A close event follows every error and says more.
    socket.onerror = () => {};
    this.#watchdog = setTimeout(() => this.#lost(1006, "silent"), OPENING);
  }

  /**
   * Send `frame` and wait for its answer. Rejects with the server's error, or `disconnected`.
   * @param {{type: string} & Record<string, unknown>} frame
   * @returns {Promise<any>} the `ack`'s data
   */
  request(frame) {
    if (!this.open) return Promise.reject(disconnected());
    const ref = `${++this.#refs}`;
    const text = JSON.stringify({ ...frame, ref });
    // The server would close the connection over it. Three bytes are the most that a UTF-16 unit can become.
    if (text.length * 3 > this.#maxBytes && new TextEncoder().encode(text).length > this.#maxBytes) {
      return Promise.reject(new LoaError("too_large", "That is too large."));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.set(ref, { resolve, reject });
      this.#socket.send(text);
    });
  }

  /**
   * As `request`, and again for as long as the answer is that it cannot be done just now.
   * @param {{type: string} & Record<string, unknown>} frame
   * @returns {Promise<any>}
   */
  insist(frame) {
    return this.patiently(() => this.request(frame));
  }

  /**
   * Do `task` until it succeeds, or fails for good, or the connection ends.
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  async patiently(task) {
    for (let seconds = 1; ; seconds = Math.min(2 * seconds, MAX_PATIENCE)) {
      try {
        return await task();
      } catch (error) {
        if (!(error instanceof LoaError && error.retryable && this.open)) throw error;
        await this.pause((error.retryAfter ?? seconds) * 1000 * (1 + Math.random() / 4));
      }
    }
  }

  /** Wait, but no longer than the connection lasts. Rejects with `disconnected`. @param {number} milliseconds */
  pause(milliseconds) {
    /** @type {Promise<void>} */
    const paused = new Promise((resolve, reject) => {
      const end = () => {
        this.#pauses.delete(end);
        clearTimeout(timer);
        if (this.open) resolve();
        else reject(disconnected());
      };
      const timer = setTimeout(end, milliseconds);
      this.#pauses.add(end);
    });
    return paused;
  }

  /** Ask for a sign of life, and give the connection up where there is none. */
  probe() {
    if (!this.#heartbeat) return;
    this.#heard = false;
    this.request({ type: "ping" }).catch(() => {});
    this.#watch(ANSWERING, () => this.#lost(1006, "silent"));
  }

  /** Give the connection up without a word to its owner. */
  drop() {
    this.#end();
  }

  /** @param {unknown} data */
  #take(data) {
    this.#heard = true;
    /** @type {Frame} */
    const frame = JSON.parse(String(data));
    if (frame.type === "hello") {
      this.#maxBytes = frame.max_message_bytes;
      this.#heartbeat = frame.heartbeat_interval * 1000;
      this.#watch(this.#heartbeat, () => this.probe());
    }
    if (frame.type === "ack" || frame.type === "pong" || frame.type === "error") this.#answer(frame);
    else this.#hear(frame);
  }

  /** @param {import("./types.js").Ack | import("./types.js").Refusal} frame */
  #answer(frame) {
    const ref = frame.ref ?? "";
    const waiting = this.#waiting.get(ref);
    this.#waiting.delete(ref);
    if (frame.type === "error") waiting?.reject(LoaError.ofFrame(frame));
    else waiting?.resolve(frame.data);
  }

  /**
   * Look again in `milliseconds` whether anything was heard, and do `otherwise` where it was not.
   * @param {number} milliseconds
   * @param {() => void} otherwise
   */
  #watch(milliseconds, otherwise) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      if (!this.#heard) return otherwise();
      this.#heard = false;
      this.#watch(this.#heartbeat, () => this.probe());
    }, milliseconds);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #lost(code, reason) {
    if (this.open) {
      this.#end();
      this.#closed(code, reason);
    }
  }

  #end() {
    this.open = false;
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    // Not waiting for the peer's part in the closing: where it is gone, that takes the browser a minute.
    socket.onmessage = socket.onclose = null;
    socket.close();
    for (const end of [...this.#pauses]) end();
    for (const { reject } of this.#waiting.values()) reject(disconnected());
    this.#waiting.clear();
  }
}

function disconnected() {
  return new LoaError("disconnected", "The connection was lost.");
}
