/** The banner at the top of the page that is shown without a connection. */

import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";

/** Milliseconds before "Reconnecting…" is shown: most reconnections take less. */
const RECONNECTING_DELAY = 1500;

export class ConnectionBanner {
  element = el("div.banner", { role: "status", hidden: true });
  /** The status shown, and the one to show: "offline", "reconnecting", or "" for none. */
  #shown = "";
  #status = "";
  #connected = true;
  #timer;
  #abort = new AbortController();

  #onChange;

  /** `onChange()` is called when the banner appears or disappears. */
  constructor(onChange) {
    this.#onChange = onChange;
    const { signal } = this.#abort;
    addEventListener("online", () => this.#update(), { signal });
    addEventListener("offline", () => this.#update(), { signal });
  }

  get isShown() {
    return this.#shown !== "";
  }

  close() {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  /** `status`: the connection status of the chat socket. */
  render({ status }) {
    this.#connected = status === "online";
    this.#update();
  }

  #update() {
    const status = !navigator.onLine ? "offline" : this.#connected ? "" : "reconnecting";
    if (status === this.#status) return;
    this.#status = status;
    clearTimeout(this.#timer);
    if (status === "reconnecting") this.#timer = setTimeout(() => this.#show(status), RECONNECTING_DELAY);
    else this.#show(status);
  }

  #show(status) {
    if (status === this.#shown) return;
    this.#shown = status;
    this.element.hidden = status === "";
    setChildren(this.element, status && [icon(status === "offline" ? "alert" : "clock"), t(`connection.${status}`)]);
    this.#onChange();
  }
}
