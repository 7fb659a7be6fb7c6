/** One WebSocket connection, from opening to its end. */

import { LoaError } from "./errors.js";

/** Milliseconds from opening to `hello`. A network that drops packets would report the failure only after minutes. */
const OPEN_TIMEOUT = 15_000;
/** Milliseconds within which a live server answers a ping. */
const PING_TIMEOUT = 10_000;
/**
 * Milliseconds after which a request counts as lost although the connection is alive. The server replies to every
 * request, but it may be overloaded.
 */
const REPLY_TIMEOUT = 60_000;
/** Seconds: the longest delay between two retries of a request, if the server names none. */
const MAX_RETRY_DELAY = 20;

/** @typedef {import("./types.js").Frame} Frame */
/**
 * @typedef {object} PendingRequest
 * @property {(data: any) => void} resolve
 * @property {(error: LoaError) => void} reject
 * @property {ReturnType<typeof setTimeout>} timer
 */

/**
 * Sends and receives frames, matches replies with requests by `ref`, and watches whether the connection is alive.
 *
 * The browser answers the server's pings itself and hides them from the page. The page therefore cannot tell an idle
 * connection from a half-open one, unless it sends a ping of its own.
 */
export class SocketConnection {
  #socket;
  #onFrame;
  #onClose;
  /** @type {Map<string, PendingRequest>} */
  #pendingRequests = new Map();
  /** @type {Set<() => void>} */
  #sleepers = new Set();
  #lastRef = 0;
  #receivedSinceCheck = false;
  /** Milliseconds; 0 before the hello. */
  #heartbeatInterval = 0;
  #maxBytes = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;
  isOpen = true;

  /**
   * @param {WebSocket} socket
   * @param {(frame: Frame) => void} onFrame called with every frame that is not a reply to a request
   * @param {(code: number, reason: string) => void} onClose called at most once, and not after `close`
   */
  constructor(socket, onFrame, onClose) {
    this.#socket = socket;
    this.#onFrame = onFrame;
    this.#onClose = onClose;
    socket.onmessage = ({ data }) => this.#onMessage(data);
    socket.onclose = ({ code, reason }) => this.#onLost(code, reason);
    // A close event with more details follows every error event.
    socket.onerror = () => {};
    this.#watchdog = setTimeout(() => this.#onLost(1006, "silent"), OPEN_TIMEOUT);
  }

  /**
   * Send a frame and wait for its reply. Rejects with the server's error, `too_large`, or `disconnected`. Without a
   * reply after `REPLY_TIMEOUT`, ends the connection: all requests can be repeated on another one.
   * @param {{type: string} & Record<string, unknown>} frame
   * @returns {Promise<any>} the data of the `ack`
   */
  request(frame) {
    if (!this.isOpen) return Promise.reject(disconnected());
    const ref = `${++this.#lastRef}`;
    const text = JSON.stringify({ ...frame, ref });
    // The server closes the connection if a frame is too large. One UTF-16 code unit takes at most three bytes.
    if (text.length * 3 > this.#maxBytes && new TextEncoder().encode(text).length > this.#maxBytes) {
      return Promise.reject(new LoaError("too_large", "The frame is too large."));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#onLost(1006, "no_reply"), REPLY_TIMEOUT);
      this.#pendingRequests.set(ref, { resolve, reject, timer });
      this.#socket.send(text);
    });
  }

  /**
   * Like `request`, but retries after temporary errors.
   * @param {{type: string} & Record<string, unknown>} frame
   * @returns {Promise<any>}
   */
  requestWithRetry(frame) {
    return this.retry(() => this.request(frame));
  }

  /**
   * Run `task` until it succeeds, fails with an error that is not retryable, or the connection ends.
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  async retry(task) {
    for (let seconds = 1; ; seconds = Math.min(2 * seconds, MAX_RETRY_DELAY)) {
      try {
        return await task();
      } catch (error) {
        if (!(error instanceof LoaError && error.retryable && this.isOpen)) throw error;
        await this.sleep((error.retryAfter ?? seconds) * 1000 * (1 + Math.random() / 4));
      }
    }
  }

  /** Wait. Rejects with `disconnected` as soon as the connection ends. @param {number} milliseconds */
  sleep(milliseconds) {
    /** @type {Promise<void>} */
    const slept = new Promise((resolve, reject) => {
      const wake = () => {
        this.#sleepers.delete(wake);
        clearTimeout(timer);
        if (this.isOpen) resolve();
        else reject(disconnected());
      };
      const timer = setTimeout(wake, milliseconds);
      this.#sleepers.add(wake);
    });
    return slept;
  }

  /** Send a ping and end the connection if nothing arrives within `PING_TIMEOUT`. Does nothing before `hello`. */
  checkAlive() {
    if (!this.#heartbeatInterval) return;
    this.#receivedSinceCheck = false;
    this.request({ type: "ping" }).catch(() => {});
    this.#startWatchdog(PING_TIMEOUT, () => this.#onLost(1006, "silent"));
  }

  /** Close the connection without calling `onClose`. */
  close() {
    this.#dispose();
  }

  /** @param {unknown} data */
  #onMessage(data) {
    this.#receivedSinceCheck = true;
    /** @type {Frame} */
    const frame = JSON.parse(String(data));
    if (frame.type === "hello") {
      this.#maxBytes = frame.max_message_bytes;
      this.#heartbeatInterval = frame.heartbeat_interval * 1000;
      this.#startWatchdog(this.#heartbeatInterval, () => this.checkAlive());
    }
    if (frame.type === "ack" || frame.type === "pong" || frame.type === "error") this.#onReply(frame);
    else this.#onFrame(frame);
  }

  /** @param {import("./types.js").Ack | import("./types.js").ErrorFrame} frame */
  #onReply(frame) {
    const ref = frame.ref ?? "";
    const request = this.#pendingRequests.get(ref);
    clearTimeout(request?.timer);
    this.#pendingRequests.delete(ref);
    if (frame.type === "error") request?.reject(LoaError.fromFrame(frame));
    else request?.resolve(frame.data);
  }

  /**
   * Call `onSilence` if no frame arrives within `milliseconds`; otherwise watch for another heartbeat interval.
   * @param {number} milliseconds
   * @param {() => void} onSilence
   */
  #startWatchdog(milliseconds, onSilence) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      if (!this.#receivedSinceCheck) return onSilence();
      this.#receivedSinceCheck = false;
      this.#startWatchdog(this.#heartbeatInterval, () => this.checkAlive());
    }, milliseconds);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #onLost(code, reason) {
    if (this.isOpen) {
      this.#dispose();
      this.#onClose(code, reason);
    }
  }

  #dispose() {
    this.isOpen = false;
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    // Do not wait for the closing handshake: if the peer is gone, the browser waits a minute for it.
    socket.onmessage = socket.onclose = null;
    socket.close();
    for (const wake of [...this.#sleepers]) wake();
    for (const { reject, timer } of this.#pendingRequests.values()) {
      clearTimeout(timer);
      reject(disconnected());
    }
    this.#pendingRequests.clear();
  }
}

function disconnected() {
  return new LoaError("disconnected", "The connection was lost.");
}
