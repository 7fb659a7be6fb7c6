/** Leader election and messaging among the tabs of one browser. */

/**
 * Exactly one tab is the leader until it closes or crashes; then another tab is elected. A posted message reaches all
 * other tabs.
 *
 * The election uses a Web Lock, which the browser releases even if the tab crashes; messages go over a
 * BroadcastChannel. If the browser lacks either of them, every tab is its own leader.
 * @template T
 */
export class TabElection {
  #abort = new AbortController();
  /** @type {BroadcastChannel | null} */
  #channel = null;

  /**
   * @param {string} name of the lock and the channel
   * @param {{onElected: () => void, onMessage: (message: T) => void}} tab
   * @param {{locks?: LockManager, BroadcastChannel?: typeof globalThis.BroadcastChannel}} platform
   */
  constructor(name, { onElected, onMessage }, { locks, BroadcastChannel }) {
    const { signal } = this.#abort;
    if (!locks || !BroadcastChannel) {
      onElected();
      return;
    }
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => onMessage(data);
    const untilClosed = new Promise((resolve) => signal.addEventListener("abort", resolve));
    const onLocked = () => {
      if (!signal.aborted) onElected();
      return untilClosed;
    };
    // Rejects if this tab closes the election before it was elected.
    locks.request(name, { signal }, onLocked).catch(() => {});
  }

  /** @param {T} message */
  post(message) {
    this.#channel?.postMessage(message);
  }

  /** Leave the election. If this tab is the leader, another tab is elected. */
  close() {
    this.#channel?.close();
    this.#channel = null;
    this.#abort.abort();
  }
}
