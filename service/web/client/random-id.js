/** Random identifiers. */

/**
 * Return 32 random hex digits, for example as a nonce. `crypto.randomUUID` exists only in secure contexts: not on a
 * page that is served over plain http from another host than localhost.
 */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
