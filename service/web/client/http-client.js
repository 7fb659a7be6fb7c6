/** Requests to the server, with a deadline and the library's errors. */

import { withDeadline } from "./deadline.js";
import { LoaError } from "./errors.js";
import { uploadFile } from "./upload.js";

/** @typedef {import("./types.js").UploadOptions} UploadOptions */

/** Milliseconds until a request has to be answered completely. A login may wait that long at a busy server. */
const REQUEST_TIMEOUT = 30_000;
/** Connections that browsers keep to one server over HTTP/1.1. */
const MAX_CONNECTIONS = 6;
/** Milliseconds within which a connection that is alive answers a request that costs the server nothing. */
const PROBE_TIMEOUT = 4000;

export class HttpClient {
  #server;
  #fetch;

  /**
   * @param {string} server its origin
   * @param {typeof globalThis.fetch} fetch
   */
  constructor(server, fetch) {
    this.#server = server;
    this.#fetch = fetch;
  }

  /**
   * Resolve with a response that is 2xx and complete; reject with a LoaError otherwise, or with an AbortError if the
   * caller has aborted the request.
   * @param {string} path
   * @param {RequestInit} init
   * @param {string} [token] an access token
   * @param {number} [timeout] milliseconds
   */
  async request(path, init, token, timeout = REQUEST_TIMEOUT) {
    const headers = new Headers(init.headers);
    if (token) headers.set("Authorization", `Bearer ${token}`);
    // Called as a plain function: the browser's `fetch` throws if `this` is anything but the window.
    const fetch = this.#fetch;
    const complete = async (/** @type {AbortSignal} */ deadline) => {
      const signal = init.signal ? eitherSignal(init.signal, deadline) : deadline;
      const response = await fetch(this.#server + path, { ...init, headers, signal });
      // The connection can be lost in the middle of the body, too.
      await response.clone().arrayBuffer();
      return response;
    };
    const response = await withDeadline(timeout, complete).catch((error) => {
      if (error instanceof LoaError || init.signal?.aborted) throw error;
      throw new LoaError("network", "The server cannot be reached.");
    });
    if (!response.ok) throw await LoaError.fromResponse(response);
    return response;
  }

  /**
   * Like `request`, for a POST of a file, which takes as long as it takes.
   * @param {string} path
   * @param {Blob} file
   * @param {string} token
   * @param {UploadOptions} [options]
   */
  upload(path, file, token, options) {
    return uploadFile(this.#server + path, file, token, options);
  }

  /**
   * Browsers send requests over idle connections, one after the other, also if these are dead, and each request would
   * wait for its deadline. Therefore send a request over each of them at once: aborting it closes the connection.
   */
  async closeDeadConnections() {
    const fetch = this.#fetch;
    const probe = async (/** @type {AbortSignal} */ signal) => {
      const response = await fetch(`${this.#server}/healthz`, { signal, cache: "no-store" });
      await response.arrayBuffer();
    };
    const probes = Array.from({ length: MAX_CONNECTIONS }, () => withDeadline(PROBE_TIMEOUT, probe));
    await Promise.allSettled(probes);
  }
}

/**
 * Whether the server has rejected the access token of a request.
 * @param {unknown} error
 * @returns {error is LoaError}
 */
export function isTokenRejected(error) {
  return error instanceof LoaError && error.status === 401 && error.needsSignIn;
}

/**
 * Return a signal that is aborted as soon as one of these is. `AbortSignal.any` is missing in Safari before 17.4.
 * @param {AbortSignal} first
 * @param {AbortSignal} second
 */
function eitherSignal(first, second) {
  const controller = new AbortController();
  for (const signal of [first, second]) {
    if (signal.aborted) controller.abort(signal.reason);
    else signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}
