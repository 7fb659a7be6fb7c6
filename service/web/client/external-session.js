/** The signed-in user of a site that has its own sign-in and issues the access tokens. */

import { withDeadline } from "./deadline.js";
import { Emitter } from "./emitter.js";
import { LoaError, readJson } from "./errors.js";
import { HttpClient, isTokenRejected } from "./http-client.js";

/** @typedef {import("./types.js").OwnProfile} OwnProfile */
/** @typedef {import("./types.js").SessionEvent} SessionEvent */
/**
 * @typedef {(options: {fresh: boolean}) => string | null | Promise<string | null>} GetExternalToken returns an access
 *   token of the user who is signed in on the site, or null if nobody is; with `fresh`, one that was issued just now,
 *   because the last one expires or was rejected. If it throws, it is asked again later
 */

/** Milliseconds within which the site has to return a token. */
const ASK_TIMEOUT = 15_000;
/** Milliseconds within which the server has to accept or reject a token. */
const CHECK_TIMEOUT = 10_000;
/**
 * Milliseconds before the site is asked again for a token in place of a rejected one: after a revocation, the server
 * rejects what was issued within the same second, too.
 */
const SECOND_TRY_DELAY = 1500;
/** Milliseconds within which a second rejection by the server signs out: asking for a third token would not help. */
const MIN_REPLACEMENT_INTERVAL = 10_000;

/**
 * Keeps the token in memory only, and asks the site for another if the server announces its expiry, or rejects it.
 * Every new token is checked with the server once, which also returns whose it is: the site decides who is signed in,
 * and may return another user's token at any time.
 */
export class ExternalSession {
  /** @type {Emitter<SessionEvent>} */
  #emitter = new Emitter();
  #http;
  #getExternalToken;
  #createChannel;
  /** Tells the other tabs that the user has changed. @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {OwnProfile | null} */
  #user = null;
  /** Empty if there is none. */
  #token = "";
  /** The token that `getToken` returned last. */
  #lastToken = "";
  /** The token with which the last ticket was requested. */
  #ticketToken = "";
  /** Whether the last token expires or was rejected. */
  #needsFresh = false;
  /** The user that this or another tab has found last: null if nobody is signed in, undefined before the first time. */
  #latestUserId = /** @type {string | null | undefined} */ (undefined);
  /** When a token that the server had rejected was dropped last. */
  #rejectedAt = 0;
  /** Shared by all who need a token meanwhile. @type {Promise<string> | null} */
  #obtaining = null;

  /**
   * @param {{
   *   getToken: GetExternalToken,
   *   server?: string,
   *   fetch?: typeof globalThis.fetch,
   *   BroadcastChannel?: typeof globalThis.BroadcastChannel | undefined,
   * }} options `server`: its origin, by default the page's
   */
  constructor({
    getToken,
    server = globalThis.location?.origin ?? "",
    fetch = globalThis.fetch,
    BroadcastChannel = globalThis.BroadcastChannel,
  }) {
    this.#getExternalToken = getToken;
    this.#http = new HttpClient(server, fetch);
    this.#createChannel = () => (BroadcastChannel ? new BroadcastChannel(`loa:session:${server}`) : null);
    // Bound because they are passed as callbacks.
    this.getToken = this.getToken.bind(this);
    this.getTicket = this.getTicket.bind(this);
    this.fetch = this.fetch.bind(this);
  }

  /** The profile of the signed-in user; null if nobody is signed in, or before the first token was accepted. */
  get user() {
    return this.#user;
  }

  /**
   * @param {(event: SessionEvent) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    return this.#emitter.subscribe(handler);
  }

  /** Start listening for changes of the user in other tabs. */
  start() {
    this.#channel ??= this.#createChannel();
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#onUserChanged(data.userId);
  }

  /** Stop listening, and forget the user and the token. */
  stop() {
    this.#channel?.close();
    this.#channel = null;
    this.#user = null;
    this.#latestUserId = undefined;
    this.#token = "";
    this.#obtaining = null;
  }

  /**
   * Ask the site for a token again. Call it after the user has signed in or out on the site without leaving the page;
   * the other tabs follow.
   * @returns {Promise<OwnProfile | null>} the profile of the user who is signed in now
   */
  async refresh() {
    const isSignIn = !this.#user;
    await this.#askAgain();
    if (isSignIn && this.#user) this.#announce();
    return this.#user;
  }

  /**
   * Forget the user and the token.
   * @param {string | null} [code] why
   * @param {{token?: string | null}} [options] `token`: the access token that the server has rejected. If it is not the
   *   current one, it has been replaced already. Otherwise the site is asked for another, unless it was a moment ago
   */
  end(code = null, { token = null } = {}) {
    if (!this.#user || (token && token !== this.#token)) return;
    const now = Date.now();
    if (!token || now - this.#rejectedAt < MIN_REPLACEMENT_INTERVAL) return this.#signOut(code);
    this.#rejectedAt = now;
    this.#drop();
  }

  /**
   * Return an access token that the server has accepted. Rejects with a LoaError; if it `needsSignIn`, nobody is signed
   * in on the site, or the server does not accept the site's tokens.
   * @param {{fresh?: boolean}} [options] `fresh`: do not return the token that was returned last
   * @returns {Promise<string>}
   */
  async getToken({ fresh = false } = {}) {
    this.#lastToken = await (fresh ? this.#replace(this.#lastToken) : this.#current());
    return this.#lastToken;
  }

  /**
   * Return a ticket for the URL of a socket or stream; it is valid once and for 30 seconds.
   * @param {{afterSilence?: boolean, expiring?: boolean}} [options] `afterSilence`: the network has dropped a connection
   *   silently, and may have dropped others; `expiring`: the token of the last ticket expires
   */
  async getTicket({ afterSilence = false, expiring = false } = {}) {
    if (afterSilence) await this.#http.closeDeadConnections();
    if (expiring) await this.#replace(this.#ticketToken);
    const response = await this.fetch("/api/v1/auth/ticket", { method: "POST" });
    this.#ticketToken = this.#token;
    /** @type {{ticket: string}} */
    const { ticket } = await readJson(response);
    return ticket;
  }

  /**
   * Like `fetch`, for a POST of a file.
   * @param {string} path on the server
   * @param {Blob} file
   * @param {import("./types.js").UploadOptions} [options]
   */
  async upload(path, file, options) {
    return this.#http.upload(path, file, await this.getToken(), options);
  }

  /**
   * Like the browser's `fetch`, with the access token. Replaces a rejected token once, and rejects with a LoaError if
   * the response is not 2xx, or not complete after 30 seconds.
   * @param {string} path on the server
   * @param {RequestInit} [init]
   * @param {number} [timeout] milliseconds, instead of 30 seconds
   */
  async fetch(path, init = {}, timeout) {
    const token = await this.#current();
    try {
      return await this.#http.request(path, init, token, timeout);
    } catch (error) {
      if (!isTokenRejected(error)) throw error;
      const other = await this.#replace(token);
      return this.#http.request(path, init, other, timeout).catch((/** @type {unknown} */ second) => {
        if (isTokenRejected(second) && other === this.#token) this.#signOut(second.code);
        throw second;
      });
    }
  }

  /** Return another token than this one. @param {string} token */
  #replace(token) {
    if (this.#token && token === this.#token) this.#drop();
    return this.#current();
  }

  #drop() {
    this.#needsFresh = true;
    this.#token = "";
  }

  async #askAgain() {
    this.#drop();
    // A request to the site that is under way may have been made before the user signed in or out.
    this.#obtaining = null;
    try {
      await this.#current();
    } catch (error) {
      if (!(error instanceof LoaError && error.needsSignIn)) throw error;
    }
  }

  /** @returns {Promise<string>} */
  async #current() {
    if (this.#token) return this.#token;
    if (this.#obtaining) return this.#obtaining;
    const isCurrent = () => this.#obtaining === obtaining;
    /** @type {Promise<string>} */
    const obtaining = this.#obtain(() => isCurrent()).finally(() => {
      if (isCurrent()) this.#obtaining = null;
    });
    this.#obtaining = obtaining;
    return obtaining;
  }

  /**
   * Ask the site for a token, and the server whose it is; once more if the server rejects it.
   * @param {() => boolean} isCurrent whether the result is still wanted
   */
  async #obtain(isCurrent) {
    // After the caller has noted what it waits for.
    await null;
    for (let isSecond = false; ; isSecond = true) {
      const token = await this.#askSite(this.#needsFresh || isSecond);
      if (!isCurrent()) return this.#superseded();
      if (!token) {
        this.#signOut(null);
        throw new LoaError("token_missing", "Nobody is signed in.");
      }
      try {
        const response = await this.#http.request("/api/v1/users/me", {}, token, CHECK_TIMEOUT);
        const user = await readJson(response);
        if (!isCurrent()) return this.#superseded();
        this.#needsFresh = false;
        this.#token = token;
        this.#setUser(user);
        return token;
      } catch (error) {
        if (!isCurrent()) return this.#superseded();
        if (!isTokenRejected(error)) throw error;
        if (isSecond) {
          this.#signOut(error.code);
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, SECOND_TRY_DELAY));
      }
    }
  }

  /** Return the result of the request to the site that has replaced this one. @returns {Promise<string>} */
  #superseded() {
    if (this.#token || this.#obtaining) return this.#current();
    throw new LoaError("disconnected", "The session was stopped.");
  }

  /** @param {boolean} fresh */
  async #askSite(fresh) {
    const getExternalToken = this.#getExternalToken;
    try {
      const token = await withDeadline(ASK_TIMEOUT, async () => getExternalToken({ fresh }));
      if (token && typeof token !== "string") throw new TypeError("getToken returned neither a string nor null.");
      return token;
    } catch (cause) {
      const { message } = /** @type {Error} */ (cause);
      throw Object.assign(new LoaError("no_credential", `The site returned no token: ${message}`), { cause });
    }
  }

  /** @param {OwnProfile} user */
  #setUser(user) {
    const previous = this.#user;
    this.#user = user;
    this.#latestUserId = user.id;
    if (previous?.id === user.id) return;
    // The first user of a tab is no news to the others, unless the page has called `refresh`.
    if (previous) this.#announce();
    this.#emitter.emit({ type: "signed-in", user });
  }

  /** @param {string | null} code why */
  #signOut(code) {
    const previous = this.#user;
    this.#user = this.#latestUserId = null;
    this.#token = "";
    this.#needsFresh = false;
    if (!previous) return;
    this.#announce();
    this.#emitter.emit({ type: "signed-out", code });
  }

  #announce() {
    this.#channel?.postMessage({ userId: this.#user?.id ?? null });
  }

  /** Called when another tab has found another user. @param {string | null} userId */
  #onUserChanged(userId) {
    if (userId === this.#latestUserId) return;
    this.#latestUserId = userId;
    // If the site cannot be reached, the next use of the token asks again.
    this.#askAgain().catch(() => {});
  }
}
