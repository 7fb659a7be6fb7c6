/** A quiet word across the top, for as long as there is no connection. */

import { el, fill } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";

const PATIENCE = 1500;
/** Milliseconds: most reconnections are over before anyone would have noticed. */

export class Banner {
  element = el("div.banner", { role: "status", hidden: true });
  #shown = "";
  #wanted = "";
  #connected = true;
  #timer;
  #ends = new AbortController();

  constructor() {
    const { signal } = this.#ends;
    addEventListener("online", () => this.#update(), { signal });
    addEventListener("offline", () => this.#update(), { signal });
  }

  close() {
    clearTimeout(this.#timer);
    this.#ends.abort();
  }

  /** `status`: the chat's. */
  render({ status }) {
    this.#connected = status === "online";
    this.#update();
  }

  #update() {
    const wanted = !navigator.onLine ? "offline" : this.#connected ? "" : "reconnecting";
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    clearTimeout(this.#timer);
    if (wanted === "reconnecting") this.#timer = setTimeout(() => this.#show(wanted), PATIENCE);
    else this.#show(wanted);
  }

  #show(word) {
    if (word === this.#shown) return;
    this.#shown = word;
    this.element.hidden = word === "";
    fill(this.element, word && [icon(word === "offline" ? "alert" : "clock"), t(`connection.${word}`)]);
  }
}
