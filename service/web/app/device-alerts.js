/**
 * A sound and a desktop notification for what arrives while the app is not in view, if the user has chosen them on this
 * device. Of several tabs one alerts, and none while another is in view.
 */

import { playChime } from "./chime.js";

/** Milliseconds within which a tab that is in view claims an event, or another hidden one; each waits differently. */
const MIN_WAIT = 300;
const MAX_WAIT = 700;
/** Claimed events that are remembered. */
const MAX_CLAIMS = 50;
/** Milliseconds between two sounds. */
const SOUND_INTERVAL = 3000;

export class DeviceAlerts {
  #storage;
  #settingsKey;
  #claimsKey;
  #isQuiet;
  #handlers = new Set();
  #abort = new AbortController();
  #lastSound = 0;

  /**
   * `isQuiet()`: whether the user wants no alerts now. `storage`: a `KeyValueStorage` that all tabs share, if the browser
   * allows one.
   */
  constructor(userId, isQuiet, storage) {
    this.#storage = storage;
    this.#settingsKey = `loa:alerts:${userId}`;
    this.#claimsKey = `loa:alerted:${userId}`;
    this.#isQuiet = isQuiet;
    // Changed in another tab.
    addEventListener("storage", ({ key }) => key === this.#settingsKey && this.#emit(), { signal: this.#abort.signal });
  }

  close() {
    this.#abort.abort();
    this.#handlers.clear();
  }

  /** Call `handler()` when the settings change. Returns a function that unsubscribes. */
  subscribe(handler) {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  get sound() {
    return Boolean(this.#read(this.#settingsKey)?.sound);
  }

  /** Whether desktop notifications are chosen, and the browser allows them. */
  get desktop() {
    return Boolean(this.#read(this.#settingsKey)?.desktop) && this.permission === "granted";
  }

  /** "granted", "denied", "default" (not asked yet) or "unsupported". */
  get permission() {
    return globalThis.Notification?.permission ?? "unsupported";
  }

  setSound(sound) {
    this.#change({ sound });
    // So that the user hears what they have chosen. The browser allows it because of the press.
    if (sound) playChime();
  }

  /** Call on a press of the user: the browser asks for the permission. */
  async setDesktop(desktop) {
    if (desktop && this.permission === "default") await Notification.requestPermission();
    this.#change({ desktop: desktop && this.permission === "granted" });
  }

  /** Alert of an event. `id` identifies it in all tabs. `show()` returns {title, body, tag, onPress()}. */
  alert(id, show) {
    if (!document.hidden) {
      this.#claim(id);
      return;
    }
    if (!this.sound && !this.desktop) return;
    const wait = MIN_WAIT + Math.random() * (MAX_WAIT - MIN_WAIT);
    setTimeout(() => {
      if (this.#abort.signal.aborted || !document.hidden || this.#isQuiet() || !this.#claim(id)) return;
      if (this.sound) this.#playSound();
      if (this.desktop) showDesktopNotification(show());
    }, wait);
  }

  #playSound() {
    if (Date.now() - this.#lastSound < SOUND_INTERVAL) return;
    this.#lastSound = Date.now();
    playChime();
  }

  /** Return whether no tab has claimed the event before. */
  #claim(id) {
    const claimed = this.#read(this.#claimsKey) ?? [];
    if (claimed.includes(id)) return false;
    this.#write(this.#claimsKey, [...claimed, id].slice(-MAX_CLAIMS));
    return true;
  }

  #change(settings) {
    this.#write(this.#settingsKey, { ...this.#read(this.#settingsKey), ...settings });
    this.#emit();
  }

  #emit() {
    for (const handler of this.#handlers) handler();
  }

  #read(key) {
    try {
      return JSON.parse(this.#storage.getItem(key));
    } catch {
      return null;
    }
  }

  #write(key, value) {
    try {
      this.#storage.setItem(key, JSON.stringify(value));
    } catch {
      // A full storage: nothing is chosen.
    }
  }
}

function showDesktopNotification({ title, body, tag, onPress }) {
  const notification = new Notification(title, { body, tag, icon: "/app/icon.svg" });
  notification.onclick = () => {
    focus();
    notification.close();
    onPress();
  };
}
