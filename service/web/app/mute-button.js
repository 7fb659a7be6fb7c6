/** The button that mutes a post: it then no longer notifies the user. */

import { el, setAttr, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { showToast } from "./toast.js";

/** `post`: as it was loaded. */
export function muteButton(api, post) {
  let { muted } = post;
  const button = el("button.button.plain", { type: "button", onclick: () => toggle() });
  const render = () => {
    setChildren(button, icon(muted ? "bell" : "muted"), t(muted ? "post.unmute" : "post.mute"));
    setAttr(button, "title", t(muted ? "post.muted.hint" : "post.mute.hint"));
  };
  let isSaving = false;
  const toggle = async () => {
    if (isSaving) return;
    isSaving = true;
    try {
      ({ muted } = await (muted ? api.unmutePost(post.id) : api.mutePost(post.id)));
      showToast(t(muted ? "post.muted" : "post.unmuted"));
    } catch (error) {
      showToast(errorText(error));
    }
    isSaving = false;
    render();
  };
  render();
  return button;
}
