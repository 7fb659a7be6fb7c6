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

  /** Keep the tray of a form that closes, unless everything is uploaded. It calls its `onChange` as before. */
  leave(key, tray) {
    if (tray.isReady) tray.close();
    else this.#trays.set(key, tray);
  }
}
