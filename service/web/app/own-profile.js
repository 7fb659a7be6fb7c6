/** Keeps the user's own profile up to date when it is changed in another tab or on another device. */

const CHANNEL = "loa:profile";

export class OwnProfile {
  #channel = new BroadcastChannel(CHANNEL);
  #handlers = new Set();
  #unsubscribe;

  /** `userId`: the user whose profile it is. After a change on another device the chat socket emits `profile_updated`. */
  constructor(userId, socket) {
    const receive = (profile) => {
      if (profile.id === userId) for (const handler of [...this.#handlers]) handler(profile);
    };
    this.#channel.onmessage = ({ data }) => receive(data);
    this.#unsubscribe = socket.subscribe(({ type, data }) => type === "profile_updated" && receive(data));
  }

  /** `handler(profile)` is called after a change in another tab or on another device. Returns a function that ends it. */
  subscribe(handler) {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** Call after the user has changed their profile in this tab. */
  publish(profile) {
    this.#channel.postMessage(profile);
  }

  close() {
    this.#unsubscribe();
    this.#channel.close();
  }
}
