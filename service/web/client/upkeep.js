/** Keeping a connection up: where it stands, when to try again, and when not to. */

import { LoaError } from "./errors.js";
import { Retry } from "./retry.js";
import { onWake } from "./wake.js";

/**
 * @typedef {import("./types.js").ConnectionState} ConnectionState
 * @typedef {import("./types.js").Status} Status
 */

/**
 * Milliseconds after it began in which a connection is not renewed: where tokens are so short-lived that the server's
 * first word is that this one expires, the next would too.
 */
const NEW = 3000;

const NO_CREDENTIAL = new LoaError("no_credential", "Neither a token nor a ticket could be had.");

/** What a chat socket and a notification stream have in common. */
export class Upkeep {
  #window;
  #wake;
  #changed;
  #retry;
  #sleep = () => {};
  #since = 0;
  /** @type {ConnectionState} */
  state = { status: "idle", retryAt: null, code: null };
  /** What the server has said of when to come back, in milliseconds. @type {number | null} */
  reconnectAfter = null;

  /**
   * @param {Window | undefined} window
   * @param {{dial: () => void, wake: () => void, changed: (standby: ConnectionState) => void}} owner `dial`: connect, it is
   *   time; `wake`: what seems to be connected may have died unseen
   */
  constructor(window, { dial, wake, changed }) {
    this.#window = window;
    this.#wake = wake;
    this.#changed = changed;
    this.#retry = new Retry(dial);
  }

  get status() {
    return this.state.status;
  }

  /** From now on a connection is wanted. */
  begin() {
    this.#sleep = onWake(this.#window, () => this.wake());
  }

  /** There is reason to believe that what has failed would work now, and that what works may have died. */
  wake() {
    this.#retry.hurry();
    this.#wake();
  }

  connecting() {
    this.#stand("connecting");
  }

  online() {
    this.#retry.up();
    this.renewed();
    this.reconnectAfter = null;
    this.#stand("online");
  }

  /** The connection has a fresh token. */
  renewed() {
    this.#since = Date.now();
  }

  /** Whether a fresh token is worth its while now that the connection's expires. */
  get renewable() {
    return Date.now() - this.#since >= NEW;
  }

  /**
   * Try again later.
   * @param {string | null} code why
   * @param {number} [least] milliseconds
   */
  backOff(code, least = 0) {
    // Where the server has said when to come back, it has told each client another time.
    if (this.reconnectAfter === null) this.#retry.backOff(least);
    else this.#retry.wait(this.reconnectAfter);
    this.reconnectAfter = null;
    this.#stand("offline", this.#retry.at, code);
  }

  /** There is no token, or no ticket. @param {unknown} error why @returns {boolean} whether someone has to sign in */
  refused(error) {
    const { needsSignIn, retryAfter, code } = error instanceof LoaError ? error : NO_CREDENTIAL;
    if (!needsSignIn) this.backOff(code, (retryAfter ?? 0) * 1000);
    return needsSignIn;
  }

  /**
   * No connection is wanted any longer.
   * @param {Status} status
   * @param {string | null} [code]
   */
  end(status, code = null) {
    this.#sleep();
    this.#retry.cancel();
    this.reconnectAfter = null;
    this.#stand(status, null, code);
  }

  /** As another tab says, which holds the connection. @param {ConnectionState} standby */
  follow({ status, retryAt, code }) {
    this.#stand(status, retryAt, code);
  }

  /**
   * @param {Status} status
   * @param {number | null} [retryAt]
   * @param {string | null} [code]
   */
  #stand(status, retryAt = null, code = null) {
    const before = this.state;
    if (before.status === status && before.retryAt === retryAt && before.code === code) return;
    this.state = { status, retryAt, code };
    this.#changed(this.state);
  }
}
