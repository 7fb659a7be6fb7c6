/** The buttons that upload a picture for the user's avatar, and remove it. */

import { el, setAttr, setChildren } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { icon } from "./icon.js";
import { squareImage } from "./square-image.js";
import { showToast } from "./toast.js";

/** `onSaved(profile)` is called after a change. Returns {element, update(profile)}. */
export function avatarButtons(api, me, onSaved) {
  const input = el("input", { type: "file", accept: "image/*", hidden: true, tabindex: "-1", onchange: onChosen });
  const choose = el("button.button", { type: "button", onclick: () => !isBusy() && input.click() });
  const remove = el("button.button.danger", { type: "button", onclick: () => save(() => null) }, t("avatar.remove"));

  // Not `disabled`, with which the button would lose the focus.
  const isBusy = () => choose.getAttribute("aria-disabled") === "true";
  const setBusy = (busy) => {
    setAttr(choose, "aria-disabled", busy ? "true" : null);
    setChildren(choose, icon("camera"), t(busy ? "avatar.uploading" : "avatar.upload"));
  };

  async function onChosen() {
    const [file] = input.files;
    // The same file may be chosen again.
    input.value = "";
    if (file) await save(async () => (await api.upload(await squareImage(file), file.name)).url);
  }

  /** `avatar()` returns what is stored, or a promise of it. */
  async function save(avatar) {
    if (isBusy()) return;
    setBusy(true);
    // It is hidden soon, by the event of the change or by its response.
    const isRemoval = document.activeElement === remove;
    try {
      const profile = await api.updateMe({ avatar: await avatar() });
      if (isRemoval) choose.focus();
      onSaved(profile);
      showToast(t("saved"));
    } catch (error) {
      showToast(error?.code === "validation_failed" ? t("avatar.refused") : errorText(error));
    }
    setBusy(false);
  }

  const update = ({ avatar }) => setAttr(remove, "hidden", !avatar);
  setBusy(false);
  update(me);
  return { element: el("div.row", {}, choose, remove, input), update };
}
