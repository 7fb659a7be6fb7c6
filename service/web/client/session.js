/** Who is signed in in this browser, and the tokens that show it. */

import { Emitter } from "./emitter.js";
import { LoaError } from "./errors.js";
import { exclusively } from "./lock.js";
import { browserStorage, load, save } from "./storage.js";

/** @typedef {import("./types.js").SignedIn} SignedIn */
/** @typedef {import("./types.js").Profile} Profile */
/**
 * @typedef {{user: Profile, access_token: string, refresh_token: string, issued_at: number, expires_at: number}} Kept
 * Times are in milliseconds since the epoch, by this device's clock.
 */
/** @typedef {{type: "signed-in", user: Profile} | {type: "signed-out", code: string | null}} SessionEvent */

const KEY = "loa:session";
const LOCK = "loa:refresh";
/**
 * Milliseconds that a token has to be good for when it is handed out: a connection is told a minute ahead that its
 * token expires, and one opened with less than that would be told at once.
 */
const MARGIN = 70_000;

/**
 * One for the page; all tabs of the browser share what it keeps.
 *
 * A refresh token is good once, and shown twice it ends the session (two hold it: one has stolen it). So tabs refresh
 * one at a time, and whoever waited takes what the one before has got.
 */
export class Session {
  /** @type {Emitter<SessionEvent>} */
  #emitter = new Emitter();
  #server;
  #fetch;
  #locks;
  #storage;
  /** The access token that was handed out last: the one that will not do any more when a fresh one is asked for. */
  #given = "";

  /**
   * @param {{
   *   server?: string,
   *   fetch?: typeof globalThis.fetch,
   *   localStorage?: import("./storage.js").KeyValues,
   *   locks?: LockManager | undefined,
   *   window?: Window | undefined,
   * }} [options] `server`: its origin, where it is not the page's own
   */
  constructor({
    server = globalThis.location?.origin ?? "",
    fetch = globalThis.fetch,
    localStorage = browserStorage("localStorage"),
    locks = globalThis.navigator?.locks,
    window = globalThis.window,
  } = {}) {
    this.#server = server;
    this.#fetch = fetch;
    this.#storage = localStorage;
    this.#locks = locks;
    window?.addEventListener("storage", ({ key, oldValue, newValue }) => {
      if (key === KEY || key === null) this.#changedElsewhere(oldValue, newValue);
    });
    // They are handed on as functions.
    this.getToken = this.getToken.bind(this);
    this.getTicket = this.getTicket.bind(this);
    this.fetch = this.fetch.bind(this);
  }

  /** The signed-in person's profile, null where nobody is. */
  get user() {
    return this.#kept?.user ?? null;
  }

  /**
   * @param {(event: SessionEvent) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    return this.#emitter.subscribe(handler);
  }

  /**
   * @param {string} username
   * @param {string} password
   * @param {string} [displayName]
   */
  register(username, password, displayName) {
    return this.#begin("/api/v1/auth/register", { username, password, display_name: displayName });
  }

  /**
   * @param {string} username
   * @param {string} password
   */
  login(username, password) {
    return this.#begin("/api/v1/auth/login", { username, password });
  }

  /** Ends the session here, and on the server if that can be reached. */
  async logout() {
    try {
      const token = await this.getToken();
      // First here: to be told by the server that one is signed out would be no news.
      this.end();
      await this.#ask("/api/v1/auth/logout", { method: "POST", keepalive: true }, token);
    } catch (error) {
      this.end();
      if (!(error instanceof LoaError && (error.needsSignIn || error.retryable))) throw error;
    }
  }

  /**
   * Forget the tokens, here and in the other tabs.
   * @param {string | null} [code] why
   */
  end(code = null) {
    if (!this.#kept) return;
    save(this.#storage, KEY, null);
    this.#emitter.emit({ type: "signed-out", code });
  }

  /**
   * A good access token. `fresh`: not the one that was given last, but one that this or another tab has got since.
   * Rejects with a LoaError; with `needsSignIn`, the session is over.
   * @param {{fresh?: boolean}} [options]
   * @returns {Promise<string>}
   */
  async getToken({ fresh = false } = {}) {
    const kept = this.#kept;
    if (!kept) throw new LoaError("token_missing", "Nobody is signed in.");
    const stale = fresh && kept.access_token === this.#given;
    const token = stale || expiring(kept) ? await this.#refresh(kept.access_token) : kept.access_token;
    this.#given = token;
    return token;
  }

  /** For the URL of one socket or stream: good once, for half a minute. */
  async getTicket() {
    const response = await this.fetch("/api/v1/auth/ticket", { method: "POST" });
    /** @type {{ticket: string}} */
    const { ticket } = await response.json();
    return ticket;
  }

  /**
   * The platform's `fetch` for a path of the server, signed in: it refreshes an expired token once, and turns every
   * answer that is not 2xx into a LoaError.
   * @param {string} path
   * @param {RequestInit} [init]
   */
  async fetch(path, init = {}) {
    const token = await this.getToken();
    try {
      return await this.#ask(path, init, token);
    } catch (error) {
      if (!(error instanceof LoaError && error.status === 401 && error.needsSignIn)) throw error;
      if (error.code === "token_expired") return this.#ask(path, init, await this.#refresh(token));
      if (this.#kept?.access_token === token) this.end(error.code);
      throw error;
    }
  }

  /** @returns {Kept | null} */
  get #kept() {
    return load(this.#storage, KEY);
  }

  /**
   * @param {string} path
   * @param {Record<string, string | undefined>} body
   */
  async #begin(path, body) {
    const { user } = this.#keep(await this.#post(path, body));
    this.#emitter.emit({ type: "signed-in", user });
    return user;
  }

  /** @param {string} refused the access token that will not do */
  #refresh(refused) {
    const task = async () => {
      const kept = this.#kept;
      if (!kept) throw new LoaError("token_missing", "Nobody is signed in.");
      if (kept.access_token !== refused && !expiring(kept)) return kept.access_token;
      try {
        return this.#keep(await this.#post("/api/v1/auth/refresh", { refresh_token: kept.refresh_token })).access_token;
      } catch (error) {
        if (error instanceof LoaError && error.needsSignIn) this.end(error.code);
        throw error;
      }
    };
    return exclusively(LOCK, task, { locks: this.#locks, storage: this.#storage });
  }

  /**
   * @param {SignedIn} answer
   * @returns {Kept}
   */
  #keep({ user, access_token, refresh_token, expires_in }) {
    const issued_at = Date.now();
    const kept = { user, access_token, refresh_token, issued_at, expires_at: issued_at + expires_in * 1000 };
    save(this.#storage, KEY, kept);
    return kept;
  }

  /**
   * @param {string} path
   * @param {unknown} body
   * @returns {Promise<SignedIn>}
   */
  async #post(path, body) {
    const headers = { "Content-Type": "application/json" };
    return (await this.#ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @param {string} [token]
   */
  async #ask(path, init, token) {
    const headers = new Headers(init.headers);
    if (token) headers.set("Authorization", `Bearer ${token}`);
    // Called as a function of its own: the browser's `fetch` refuses to be a method of anything but the window.
    const fetch = this.#fetch;
    const response = await fetch(this.#server + path, { ...init, headers }).catch((error) => {
      if (init.signal?.aborted) throw error;
      throw new LoaError("network", "The server cannot be reached.");
    });
    if (!response.ok) throw await LoaError.of(response);
    return response;
  }

  /**
   * Another tab has signed in, out, or refreshed.
   * @param {string | null} before
   * @param {string | null} after
   */
  #changedElsewhere(before, after) {
    const [was, is] = [before, after].map((text) => /** @type {Kept | null} */ (text && JSON.parse(text)));
    if (is && is.user.id !== was?.user.id) this.#emitter.emit({ type: "signed-in", user: is.user });
    if (!is) this.#emitter.emit({ type: "signed-out", code: null });
  }
}

/** @param {Kept} kept */
function expiring(kept) {
  const left = kept.expires_at - Date.now();
  return left < Math.min(MARGIN, (kept.expires_at - kept.issued_at) / 2);
}
