/** The signed-in user and their tokens. */

import { Emitter } from "./emitter.js";
import { LoaError, readJson } from "./errors.js";
import { HttpClient, isTokenRejected } from "./http-client.js";
import { withLock } from "./lock.js";
import { browserStorage, load, save } from "./storage.js";

/** @typedef {import("./types.js").AuthResponse} AuthResponse */
/** @typedef {import("./types.js").Profile} Profile */
/**
 * Times are in milliseconds since the epoch, by this device's clock.
 * @typedef {{user: Profile, access_token: string, refresh_token: string, issued_at: number, expires_at: number}}
 *   StoredSession
 */
/** @typedef {import("./types.js").SessionEvent} SessionEvent */

const STORAGE_KEY = "loa:session";
/** Where the refresh token of the last session is kept after the server has ended that session. */
const DEVICE_KEY = "loa:device";
const REFRESH_LOCK = "loa:refresh";
/**
 * Milliseconds for which a token must be valid when it is handed out. The server announces the expiry of a connection's
 * token a minute ahead; a connection opened with less than that would receive the announcement at once.
 */
const MIN_VALIDITY = 70_000;
/**
 * Milliseconds; shorter than for other requests, because all tabs wait for a refresh, and than the wait for the lock
 * (`lock.js`).
 */
const REFRESH_TIMEOUT = 15_000;
/**
 * The session, shared by all tabs of the browser through local storage. Create one per page.
 *
 * A refresh token is meant to be used once. The server accepts it for another minute, unless its successor has been
 * used; after that it ends the session, because one of two holders may have stolen it. Tabs therefore refresh one at a
 * time, and a tab that waited uses the tokens that the previous tab has stored. If the answer to a refresh is lost, the
 * next attempt uses the same token. Only the server's refusal ends the session; an unreachable server does not.
 */
export class Session {
  /** @type {Emitter<SessionEvent>} */
  #emitter = new Emitter();
  #http;
  #locks;
  #storage;
  /** The access token that `getToken` returned last. A request for a fresh token must not return it again. */
  #lastToken = "";
  /**
   * The session if the storage had no space for it, and the access token that the storage still has instead.
   * @type {{session: StoredSession, storedToken: string | undefined} | null}
   */
  #unsaved = null;
  /** Whether the user is deleting the account: the server then ends the session. */
  #deleting = false;

  /**
   * @param {{
   *   server?: string,
   *   fetch?: typeof globalThis.fetch,
   *   localStorage?: import("./storage.js").KeyValueStorage,
   *   locks?: LockManager | undefined,
   *   window?: Window | undefined,
   * }} [options] `server`: its origin, by default the page's
   */
  constructor({
    server = globalThis.location?.origin ?? "",
    fetch = globalThis.fetch,
    localStorage = browserStorage("localStorage"),
    locks = globalThis.navigator?.locks,
    window = globalThis.window,
  } = {}) {
    this.#http = new HttpClient(server, fetch);
    this.#storage = localStorage;
    this.#locks = locks;
    window?.addEventListener("storage", ({ key, oldValue, newValue }) => {
      if (key === STORAGE_KEY || key === null) this.#onStorageChange(oldValue, newValue);
    });
    // Bound because they are passed as callbacks.
    this.getToken = this.getToken.bind(this);
    this.getTicket = this.getTicket.bind(this);
    this.fetch = this.fetch.bind(this);
  }

  /** The profile of the signed-in user; null if nobody is signed in. */
  get user() {
    return this.#stored?.user ?? null;
  }

  /**
   * @param {(event: SessionEvent) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    return this.#emitter.subscribe(handler);
  }

  /**
   * Create an account and sign in.
   * @param {string} username
   * @param {string} password
   * @param {string} [displayName]
   */
  register(username, password, displayName) {
    return this.#signIn("/api/v1/auth/register", { username, password, display_name: displayName });
  }

  /**
   * Sign in. The server recognises a device by the tokens of its last session, whether or not they are still valid, and
   * does not count other people's wrong passwords against it.
   * @param {string} username
   * @param {string} password
   */
  login(username, password) {
    const token = this.#stored?.access_token ?? load(this.#storage, DEVICE_KEY);
    return this.#signIn("/api/v1/auth/login", { username, password }, token ?? undefined);
  }

  /**
   * Choose a new password with the token of a link from the operator, and sign in. Rejects with a LoaError,
   * `token_invalid` if the link has been used or has expired.
   * @param {string} token
   * @param {string} password
   */
  resetPassword(token, password) {
    return this.#signIn("/api/v1/auth/password/reset", { token, new_password: password });
  }

  /** Sign out here, and end the session on the server if it can be reached. */
  async logout() {
    try {
      const token = await this.getToken();
      const session = this.#stored;
      // Before the request: otherwise the server would close the connections first, as if the session were revoked.
      this.end();
      await this.#http.request("/api/v1/auth/logout", { method: "POST", keepalive: true }, token);
      if (session) this.#rememberDevice(session);
    } catch (error) {
      this.end();
      if (!(error instanceof LoaError && (error.needsSignIn || error.retryable))) throw error;
    }
  }

  /**
   * Delete the account with everything that the user has written. Then the session ends, with the code
   * `account_deleted`. Rejects with a LoaError, `bad_credentials` if the password is wrong.
   * @param {string} password
   */
  async deleteAccount(password) {
    this.#deleting = true;
    try {
      const headers = { "Content-Type": "application/json" };
      await this.fetch("/api/v1/users/me", { method: "DELETE", headers, body: JSON.stringify({ password }) });
      this.end("account_deleted");
    } finally {
      this.#deleting = false;
    }
  }

  /**
   * Remove the tokens, in all tabs. Does not call the server.
   * @param {string | null} [code] why
   * @param {{token?: string | null}} [options] `token`: the access token that the server has rejected. If it is not the
   *   session's current one, another tab has refreshed it or signed in again, and the session is kept
   */
  end(code = null, { token = null } = {}) {
    const stored = this.#stored;
    if (!stored || (token && token !== stored.access_token)) return;
    this.#unsaved = null;
    save(this.#storage, STORAGE_KEY, null);
    // The server closes the connections before its answer to the deletion arrives.
    if (code && this.#deleting) code = "account_deleted";
    else if (code) this.#rememberDevice(stored);
    this.#emitter.emit({ type: "signed-out", code });
  }

  /**
   * Keep a token of a session that the server has ended, for the next login. Never one that is valid: after signing
   * out, nothing on the device may open the account.
   * @param {StoredSession} session
   */
  #rememberDevice({ refresh_token }) {
    save(this.#storage, DEVICE_KEY, refresh_token);
  }

  /**
   * Return a valid access token, refreshed if it expires soon. Rejects with a LoaError; if it `needsSignIn`, the
   * session is over.
   * @param {{fresh?: boolean}} [options] `fresh`: do not return the token that was returned last
   * @returns {Promise<string>}
   */
  async getToken({ fresh = false } = {}) {
    const stored = this.#stored;
    if (!stored) throw notSignedIn();
    if (fresh && stored.access_token === this.#lastToken) this.#lastToken = await this.#refresh(stored.access_token);
    else this.#lastToken = expiresSoon(stored) ? await this.#refreshEarly(stored) : stored.access_token;
    return this.#lastToken;
  }

  /**
   * Return a ticket for the URL of a socket or stream; it is valid once and for 30 seconds.
   * @param {{afterSilence?: boolean}} [options] `afterSilence`: the network has dropped a connection silently, and may
   *   have dropped others
   */
  async getTicket({ afterSilence = false } = {}) {
    if (afterSilence) await this.#http.closeDeadConnections();
    const response = await this.fetch("/api/v1/auth/ticket", { method: "POST" });
    /** @type {{ticket: string}} */
    const { ticket } = await readJson(response);
    return ticket;
  }

  /**
   * Use the tokens of this response, in all tabs: those issued before are no longer valid, as after a change of the
   * password.
   * @param {AuthResponse} response
   */
  replaceTokens(response) {
    this.#store(response);
  }

  /**
   * Like the browser's `fetch`, with the access token. Refreshes an expired token once, and rejects with a LoaError if
   * the response is not 2xx, or not complete after 30 seconds.
   * @param {string} path on the server
   * @param {RequestInit} [init]
   * @param {number} [timeout] milliseconds, instead of 30 seconds
   */
  async fetch(path, init = {}, timeout) {
    const token = await this.getToken();
    try {
      return await this.#http.request(path, init, token, timeout);
    } catch (error) {
      if (!isTokenRejected(error)) throw error;
      if (error.code === "token_expired") return this.#http.request(path, init, await this.#refresh(token), timeout);
      this.end(error.code, { token });
      const current = this.#stored;
      if (!current) throw error;
      return this.#http.request(path, init, current.access_token, timeout);
    }
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

  /** @returns {StoredSession | null} */
  get #stored() {
    /** @type {StoredSession | null} */
    const stored = load(this.#storage, STORAGE_KEY);
    // If the stored token is another one by now, another tab has signed in, refreshed, or signed out.
    if (this.#unsaved && stored?.access_token !== this.#unsaved.storedToken) this.#unsaved = null;
    return this.#unsaved?.session ?? stored;
  }

  /**
   * @param {string} path
   * @param {Record<string, string | undefined>} body
   * @param {string} [token]
   */
  async #signIn(path, body, token) {
    const { user } = this.#store(await this.#post(path, body, { token }));
    this.#emitter.emit({ type: "signed-in", user });
    return user;
  }

  /**
   * Refresh a token that expires soon. As long as it is valid, a temporary failure does not matter.
   * @param {StoredSession} stored
   */
  async #refreshEarly(stored) {
    try {
      return await this.#refresh(stored.access_token);
    } catch (error) {
      const isTemporary = error instanceof LoaError && error.retryable;
      if (isTemporary && Date.now() < stored.expires_at && this.#stored) return stored.access_token;
      throw error;
    }
  }

  /** Return an access token other than `rejected`. @param {string} rejected */
  #refresh(rejected) {
    const task = async () => {
      const stored = this.#stored;
      if (!stored) throw notSignedIn();
      if (stored.access_token !== rejected && !expiresSoon(stored)) return stored.access_token;
      try {
        const body = { refresh_token: stored.refresh_token };
        const response = await this.#post("/api/v1/auth/refresh", body, { timeout: REFRESH_TIMEOUT });
        return this.#replacing(stored) ?? this.#store(response).access_token;
      } catch (error) {
        if (!(error instanceof LoaError && error.needsSignIn)) throw error;
        const replaced = this.#replacing(stored);
        if (replaced) return replaced;
        this.end(error.code);
        throw error;
      }
    };
    return withLock(REFRESH_LOCK, task, { locks: this.#locks, storage: this.#storage });
  }

  /**
   * Return the current access token if another tab has replaced this session meanwhile, which happens if this tab was
   * frozen while it waited for the server; otherwise null. Throws if the user has signed out.
   * @param {StoredSession} session
   */
  #replacing({ refresh_token }) {
    const current = this.#stored;
    if (!current) throw notSignedIn();
    return current.refresh_token === refresh_token ? null : current.access_token;
  }

  /**
   * @param {AuthResponse} response
   * @returns {StoredSession}
   */
  #store({ user, access_token, refresh_token, expires_in }) {
    const issued_at = Date.now();
    const session = { user, access_token, refresh_token, issued_at, expires_at: issued_at + expires_in * 1000 };
    const storedToken = load(this.#storage, STORAGE_KEY)?.access_token;
    this.#unsaved = save(this.#storage, STORAGE_KEY, session) ? null : { session, storedToken };
    return session;
  }

  /**
   * @param {string} path
   * @param {unknown} body
   * @param {{token?: string, timeout?: number}} [options] `timeout`: milliseconds
   * @returns {Promise<AuthResponse>}
   */
  async #post(path, body, { token, timeout } = {}) {
    const headers = { "Content-Type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    const response = await readJson(await this.#http.request(path, init, token, timeout));
    if (response?.user && response.access_token && response.refresh_token) return response;
    throw new LoaError("unavailable", "The server's answer contains no tokens.");
  }

  /**
   * Called when another tab has signed in, signed out or refreshed the token.
   * @param {string | null} oldValue
   * @param {string | null} newValue
   */
  #onStorageChange(oldValue, newValue) {
    const [before, after] = [oldValue, newValue].map((text) => {
      return /** @type {StoredSession | null} */ (text && JSON.parse(text));
    });
    if (after && after.user.id !== before?.user.id) this.#emitter.emit({ type: "signed-in", user: after.user });
    if (!after) this.#emitter.emit({ type: "signed-out", code: null });
  }
}

/** @param {StoredSession} session */
function expiresSoon({ issued_at, expires_at }) {
  return expires_at - Date.now() < Math.min(MIN_VALIDITY, (expires_at - issued_at) / 2);
}

function notSignedIn() {
  return new LoaError("token_missing", "Nobody is signed in.");
}
