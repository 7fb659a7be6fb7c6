/** Maps the close codes of the chat socket to what the client does next. */

/** @typedef {"refresh-token" | "sign-in" | "reconnect-slowly" | "reconnect" | "fail"} CloseAction */

/**
 * The server rejected what this client sent: protocol error, binary frame, invalid UTF-8, frame too large. Sending the
 * same again would fail again, so the client does not reconnect.
 */
const CLIENT_ERROR_CODES = new Set([1002, 1003, 1007, 1009]);
const POLICY_VIOLATION = 1008;

/** @type {Record<string, CloseAction>} */
const POLICY_ACTIONS = {
  token_missing: "sign-in",
  token_revoked: "sign-in",
  banned: "sign-in",
  rate_limited: "reconnect-slowly",
};

/**
 * Return what to do after a close frame:
 * - `refresh-token`: reconnect once with a fresh access token;
 * - `sign-in`: stop, the user has to sign in;
 * - `reconnect-slowly`: reconnect after a longer delay;
 * - `fail`: stop, reconnecting would not help;
 * - `reconnect`: reconnect with back-off, as after a network failure (1006), a server error (1011), an overloaded
 *   server (1013) or a restart (1012; the server has sent a reconnect delay before).
 * @param {number} code RFC 6455, section 7.4
 * @param {string} reason
 * @returns {CloseAction}
 */
export function closeAction(code, reason) {
  if (code === POLICY_VIOLATION) return POLICY_ACTIONS[reason] ?? "refresh-token";
  return CLIENT_ERROR_CODES.has(code) ? "fail" : "reconnect";
}
