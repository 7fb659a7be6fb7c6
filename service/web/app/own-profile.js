/** Keeps the user's own profile up to date when it is changed in another tab or on another device. */

const CHANNEL = "loa:profile";

export class OwnProfile {
  #channel = new BroadcastChannel(CHANNEL);
  #unsubscribe;

  /**
   * `onChange(profile)` is called when the profile of the user `userId` was changed in another tab, or on another
   * device: then the chat socket emits `profile_updated`.
   */
  constructor(userId, socket, onChange) {
    const receive = (profile) => profile.id === userId && onChange(profile);
    this.#channel.onmessage = ({ data }) => receive(data);
    this.#unsubscribe = socket.subscribe(({ type, data }) => type === "profile_updated" && receive(data));
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
