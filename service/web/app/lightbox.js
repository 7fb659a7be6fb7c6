/** The dialog that shows the images of a message, post or comment, one at a time, as large as they fit. */

import { fileLink, recoverImage } from "./attachment-list.js";
import { showDialog } from "./dialog.js";
import { el, setChildren, setText } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { addLightboxEntry } from "./lightbox-entry.js";

/** CSS pixels that a finger moves to the side before it is a swipe. */
const SWIPE = 50;

/** `images`: attachments, of which the one at `index` is shown first. `download`: as for `attachmentList`. */
export function openLightbox(images, index, download) {
  let shown = index;
  let touchStart = null;
  const figure = el("figure.lightbox", {
    ontouchstart: ({ touches }) => (touchStart = touches.length === 1 ? touches[0].clientX : null),
    ontouchend: onTouchEnd,
  });
  const position = el("span.muted.small", { role: "status" });
  const save = el("span");
  const step = (by, name, label) =>
    images.length > 1 &&
    el(
      "button.icon-button",
      { type: "button", "aria-label": label, title: label, onclick: () => show(shown + by) },
      icon(name),
    );

  function show(next) {
    shown = (next + images.length) % images.length;
    const attachment = images[shown];
    const { name, description, url, width, height } = attachment;
    const image = el("img", { src: url, alt: description || name, width, height, decoding: "async" });
    recoverImage(image, attachment, "", download);
    setChildren(figure, image);
    const content = [icon("down"), t("lightbox.download")];
    setChildren(save, fileLink("a.button", attachment, download, { download: name }, null, content));
    dialog.setTitle(name);
    setText(position, images.length > 1 ? t("lightbox.position", { index: shown + 1, count: images.length }) : "");
  }

  function onKeyDown(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || images.length < 2 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    show(shown + by);
  }

  function onTouchEnd({ changedTouches }) {
    if (touchStart === null) return;
    const moved = changedTouches[0].clientX - touchStart;
    touchStart = null;
    if (images.length > 1 && Math.abs(moved) > SWIPE) show(shown + (moved < 0 ? 1 : -1));
  }

  const dialog = showDialog(images[index].name, figure, [
    step(-1, "back", t("lightbox.previous")),
    position,
    step(1, "go", t("lightbox.next")),
    el("span.spacer"),
    save,
  ]);
  const abort = new AbortController();
  addEventListener("keydown", onKeyDown, { signal: abort.signal });
  const leaveEntry = addLightboxEntry(() => dialog.close());
  dialog.closed.then(() => {
    abort.abort();
    leaveEntry();
  });
  show(index);
}
