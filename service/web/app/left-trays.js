/** The files of forms that were closed before all of them were uploaded: the uploads go on. */

import { AttachmentTray } from "./attachment-tray.js";

export class LeftTrays {
  #api;
  #trays = new Map();

  constructor(api) {
    this.#api = api;
  }

  close() {
    for (const tray of this.#trays.values()) tray.close();
  }

  /** Return the tray that was left under `key`; if there is none, a new one with `attachments`, which are uploaded. */
  take(key, attachments) {
    const left = this.#trays.get(key);
    this.#trays.delete(key);
    if (left) return left;
    const tray = new AttachmentTray(this.#api);
    tray.restore(attachments);
    return tray;
  }

  /** Keep the tray of a form that closes until everything is uploaded. It calls its `onChange` as before. */
  leave(key, tray) {
    this.#trays.get(key)?.close();
    this.#trays.set(key, tray);
    const { onChange } = tray;
    const closeIfReady = () => {
      if (!tray.isReady) return;
      this.#trays.delete(key);
      tray.close();
    };
    tray.onChange = () => {
      onChange();
      closeIfReady();
    };
    closeIfReady();
  }
}
