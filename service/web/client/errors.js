/**
 * Errors, identified by the server's stable codes. The client adds its own: `network`, `disconnected`, `outbox_full`,
 * `no_credential`, `http_error`.
 */

/** @typedef {{field: string, message: string}} FieldError */

/** Codes after which the user has to sign in again. */
const SIGN_IN_CODES = new Set(["token_missing", "token_invalid", "token_expired", "token_revoked", "banned"]);

/** Codes of temporary failures: the same request may succeed later. */
const RETRYABLE_CODES = new Set(["rate_limited", "unavailable", "network", "disconnected", "no_credential"]);

/** The only error class of this library. `code` is for programs, `detail` (also `message`) for people. */
export class LoaError extends Error {
  /**
   * @param {string} code
   * @param {string} detail
   * @param {{status?: number, retryAfter?: number | null, errors?: FieldError[] | null, until?: string | null}} [more]
   */
  constructor(code, detail, { status = 0, retryAfter = null, errors = null, until = null } = {}) {
    super(detail);
    this.name = "LoaError";
    this.code = code;
    this.detail = detail;
    /** The HTTP status; 0 if the error did not come from an HTTP response. */
    this.status = status;
    /** Seconds to wait before retrying; null if the server named no delay. */
    this.retryAfter = retryAfter;
    /** The invalid fields of a `validation_failed` error; otherwise empty. */
    this.errors = errors ?? [];
    /** When the ban of a `banned` error ends; null if it does not. */
    this.until = until;
  }

  /** Whether the user has to sign in before the request can succeed. */
  get needsSignIn() {
    return SIGN_IN_CODES.has(this.code);
  }

  /** Whether the same request may succeed later. */
  get retryable() {
    return RETRYABLE_CODES.has(this.code);
  }

  /**
   * Build the error for an HTTP response that is not 2xx. The body is a problem document (RFC 9457), or anything else
   * if a proxy answered instead of the server.
   * @param {Response} response
   */
  static async fromResponse(response) {
    const problem = await response.json().catch(() => ({}));
    const code = response.status >= 500 ? "unavailable" : "http_error";
    const retryAfter = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
    return new LoaError(problem.code ?? code, problem.detail ?? `The server answered ${response.status}.`, {
      status: response.status,
      retryAfter: Number.isNaN(retryAfter) ? null : retryAfter,
      errors: problem.errors,
      until: problem.until,
    });
  }

  /**
   * Build the error for an `error` frame.
   * @param {import("./types.js").ErrorFrame} frame
   */
  static fromFrame(frame) {
    return new LoaError(frame.code, frame.detail, { retryAfter: frame.retry_after ?? null, errors: frame.errors });
  }
}

/**
 * Return the JSON of a response. Rejects with a LoaError if it is none: a captive portal, for example, answers every
 * request with its own page.
 * @param {Response} response
 * @returns {Promise<any>}
 */
export async function readJson(response) {
  try {
    return await response.json();
  } catch {
    throw new LoaError("unavailable", "The server's answer is not JSON.", { status: response.status });
  }
}
