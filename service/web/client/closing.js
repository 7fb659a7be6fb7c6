/** What each way for a chat socket to end asks of the client. */

/** @typedef {"refresh" | "sign-in" | "slow" | "stop" | "back-off"} Verdict */

/**
 * Our own mistakes: a broken frame, a binary one, text that is not UTF-8, one too large. The same again would end the
 * same way, so nothing is tried again.
 */
const MISTAKES = new Set([1002, 1003, 1007, 1009]);
const POLICY = 1008;

/** @type {Record<string, Verdict>} */
const POLICIES = { token_missing: "sign-in", token_revoked: "sign-in", rate_limited: "slow" };

/**
 * `refresh`: with a fresh token, once; `sign-in`: a person has to; `slow`: after some while; `stop`: not at all;
 * `back-off`: as after any failure, of the network (1006), of the server (1011), of one that is too busy (1013) or
 * restarts (1012), who has said when to come back.
 * @param {number} code RFC 6455, 7.4
 * @param {string} reason
 * @returns {Verdict}
 */
export function verdict(code, reason) {
  if (code === POLICY) return POLICIES[reason] ?? "refresh";
  return MISTAKES.has(code) ? "stop" : "back-off";
}
