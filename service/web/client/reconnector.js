/** The connection state and the reconnect policy that the chat socket and the notification stream share. */

import { Backoff } from "./backoff.js";
import { LoaError } from "./errors.js";
import { onWake } from "./wake.js";

/**
 * @typedef {import("./types.js").ConnectionState} ConnectionState
 * @typedef {import("./types.js").Status} Status
 */

/**
 * Milliseconds for which a credential is not renewed after it was presented. If the server announces the expiry of a
 * new token at once (because its tokens are that short-lived), it would do the same with the next one.
 */
const MIN_RENEWAL_INTERVAL = 3000;

const NO_CREDENTIAL = new LoaError("no_credential", "No token or ticket could be obtained.");

export class Reconnector {
  #window;
  #onWake;
  #onStateChange;
  #backoff;
  #removeWakeListeners = () => {};
  #credentialSince = 0;
  /** @type {ConnectionState} */
  state = { status: "idle", retryAt: null, code: null };
  /** The reconnect delay in milliseconds that a draining server announced; null if none. @type {number | null} */
  reconnectAfter = null;

  /**
   * @param {Window | undefined} window
   * @param {{connect: () => void, onWake: () => void, onStateChange: (state: ConnectionState) => void}} owner
   *   `connect`: the next attempt is due; `onWake`: an established connection may have died unnoticed
   */
  constructor(window, { connect, onWake, onStateChange }) {
    this.#window = window;
    this.#onWake = onWake;
    this.#onStateChange = onStateChange;
    this.#backoff = new Backoff(connect);
  }

  get status() {
    return this.state.status;
  }

  /** Start listening for the page to wake up. */
  start() {
    this.#removeWakeListeners = onWake(this.#window, () => this.wake());
  }

  /** Retry a failed connection at once, and let the owner check an established one. */
  wake() {
    this.#backoff.skipDelay();
    this.#onWake();
  }

  /** Cancel the scheduled attempt: another tab holds the connection now. */
  cancelRetry() {
    this.#backoff.reset();
    this.reconnectAfter = null;
  }

  onConnecting() {
    this.#setState("connecting");
  }

  onConnected() {
    this.#backoff.onConnected();
    this.onCredentialRenewed();
    this.reconnectAfter = null;
    this.#setState("online");
  }

  onCredentialRenewed() {
    this.#credentialSince = Date.now();
  }

  /** Whether an expiring credential should be renewed; false if it was obtained a moment ago. */
  get shouldRenew() {
    return Date.now() - this.#credentialSince >= MIN_RENEWAL_INTERVAL;
  }

  /**
   * Schedule the next connection attempt.
   * @param {string | null} code why the connection failed
   * @param {number} [minDelay] milliseconds
   */
  scheduleRetry(code, minDelay = 0) {
    // The server gives each client a different delay, so it needs no jitter here.
    if (this.reconnectAfter === null) this.#backoff.schedule(minDelay);
    else this.#backoff.scheduleExactly(this.reconnectAfter);
    this.reconnectAfter = null;
    this.#setState("offline", this.#backoff.retryAt, code);
  }

  /**
   * Handle a failure to obtain a token or ticket: schedule a retry, unless the user has to sign in.
   * @param {unknown} error
   * @returns {boolean} whether the user has to sign in
   */
  onCredentialError(error) {
    const { needsSignIn, retryAfter, code } = error instanceof LoaError ? error : NO_CREDENTIAL;
    if (!needsSignIn) this.scheduleRetry(code, (retryAfter ?? 0) * 1000);
    return needsSignIn;
  }

  /**
   * Cancel all attempts.
   * @param {Status} status the final status
   * @param {string | null} [code]
   */
  stop(status, code = null) {
    this.#removeWakeListeners();
    this.cancelRetry();
    this.#setState(status, null, code);
  }

  /** Take over the state of a connection that another tab holds. @param {ConnectionState} state */
  mirror({ status, retryAt, code }) {
    this.#setState(status, retryAt, code);
  }

  /**
   * @param {Status} status
   * @param {number | null} [retryAt]
   * @param {string | null} [code]
   */
  #setState(status, retryAt = null, code = null) {
    const previous = this.state;
    if (previous.status === status && previous.retryAt === retryAt && previous.code === code) return;
    this.state = { status, retryAt, code };
    this.#onStateChange(this.state);
  }
}
