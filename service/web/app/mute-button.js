/** The button that mutes a post: it then no longer notifies the user. */

import { el, setAttr, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { showToast } from "./toast.js";

export class MuteButton {
  element = el("button.button.plain", { type: "button", onclick: () => this.#toggle() });
  #api;
  #postId;
  #muted;
  #isSaving = false;
  #unsubscribe;

  /** `post`: as it was loaded. */
  constructor({ api, socket }, post) {
    this.#api = api;
    this.#postId = post.id;
    this.#muted = post.muted;
    this.#unsubscribe = socket.subscribe(({ type, data }) => {
      if (type === "post_mute_updated" && data.post_id === this.#postId) this.#render(data.muted);
    });
    this.#render(post.muted);
  }

  close() {
    this.#unsubscribe();
  }

  /**
   * Call before the post is loaded again. Returns a function that takes what was loaded, unless the user has pressed the
   * button meanwhile: the response may be older.
   */
  refresh() {
    const muted = this.#muted;
    return (post) => this.#muted === muted && !this.#isSaving && this.#render(post.muted);
  }

  async #toggle() {
    if (this.#isSaving) return;
    this.#isSaving = true;
    try {
      const { muted } = await (this.#muted ? this.#api.unmutePost(this.#postId) : this.#api.mutePost(this.#postId));
      this.#render(muted);
      showToast(t(muted ? "post.muted" : "post.unmuted"));
    } catch (error) {
      showToast(errorText(error));
    }
    this.#isSaving = false;
  }

  #render(muted) {
    this.#muted = muted;
    setChildren(this.element, icon(muted ? "bell" : "muted"), t(muted ? "post.unmute" : "post.mute"));
    setAttr(this.element, "title", t(muted ? "post.muted.hint" : "post.mute.hint"));
  }
}
