/** The tabs of one browser, of which one leads. */

/**
 * One tab leads, as long as it lives; then another does. What a tab posts reaches all others.
 *
 * The browser itself elects (a Web Lock) and carries (a BroadcastChannel), so a tab that crashes is succeeded like one
 * that is closed. Where it has not both, every tab leads itself.
 * @template T
 */
export class Tabs {
  #leaving = new AbortController();
  /** @type {BroadcastChannel | null} */
  #channel = null;

  /**
   * @param {string} name
   * @param {{lead: () => void, hear: (message: T) => void}} tab `lead` is called when it is this tab's turn
   * @param {{locks?: LockManager, BroadcastChannel?: typeof globalThis.BroadcastChannel}} platform
   */
  constructor(name, { lead, hear }, { locks, BroadcastChannel }) {
    const { signal } = this.#leaving;
    if (!locks || !BroadcastChannel) {
      lead();
      return;
    }
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => hear(data);
    const held = new Promise((resolve) => signal.addEventListener("abort", resolve));
    const leading = () => {
      if (!signal.aborted) lead();
      return held;
    };
    // Rejects where this tab leaves before it has led.
    locks.request(name, { signal }, leading).catch(() => {});
  }

  /** @param {T} message */
  post(message) {
    this.#channel?.postMessage(message);
  }

  leave() {
    this.#channel?.close();
    this.#channel = null;
    this.#leaving.abort();
  }
}
