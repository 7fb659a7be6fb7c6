/** What can go wrong, by the server's stable codes; `network`, `disconnected`, `outbox_full` are the client's own. */

/** @typedef {{field: string, message: string}} FieldProblem */

/** It can only be cured by a person who signs in. */
const SIGN_IN = new Set(["token_missing", "token_invalid", "token_expired", "token_revoked"]);

/** It passes: the same again, later, may be done. */
const PASSING = new Set(["rate_limited", "unavailable", "network", "disconnected"]);

/** The one error of this library. `detail` (also `message`) is for a person, `code` for programs. */
export class LoaError extends Error {
  /**
   * @param {string} code
   * @param {string} detail
   * @param {{status?: number, retryAfter?: number | null, errors?: FieldProblem[] | null}} [more]
   */
  constructor(code, detail, { status = 0, retryAfter = null, errors = null } = {}) {
    super(detail);
    this.name = "LoaError";
    this.code = code;
    this.detail = detail;
    /** The HTTP status, 0 where there is none. */
    this.status = status;
    /** Seconds to wait before trying again, null where the server has not said. */
    this.retryAfter = retryAfter;
    /** Of `validation_failed`, field by field. */
    this.errors = errors ?? [];
  }

  /** Whether somebody has to sign in before it can work. */
  get needsSignIn() {
    return SIGN_IN.has(this.code);
  }

  /** Whether the same again, later, may be done. */
  get retryable() {
    return PASSING.has(this.code);
  }

  /**
   * From an HTTP answer that is not 2xx: a problem document (RFC 9457), or what a proxy on the way has made of it.
   * @param {Response} response
   */
  static async of(response) {
    const problem = await response.json().catch(() => ({}));
    const code = response.status >= 500 ? "unavailable" : "http_error";
    const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
    return new LoaError(problem.code ?? code, problem.detail ?? `The server answered ${response.status}.`, {
      status: response.status,
      retryAfter: Number.isNaN(wait) ? null : wait,
      errors: problem.errors,
    });
  }

  /**
   * From an `error` frame.
   * @param {import("./types.js").Refusal} frame
   */
  static ofFrame(frame) {
    return new LoaError(frame.code, frame.detail, { retryAfter: frame.retry_after ?? null, errors: frame.errors });
  }
}
