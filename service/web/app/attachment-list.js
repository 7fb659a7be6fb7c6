/** The attachments of a message: images in their size, other files as links. */

import { el } from "./dom.js";
import { formatSize, t } from "./i18n.js";
import { icon } from "./icon.js";
import { withDialogs } from "./later.js";
import { saveFile } from "./save-file.js";

/** CSS pixels: as large as thumbnails are, so that none is scaled up. */
const MAX_WIDTH = 320;
const MAX_HEIGHT = 320;
/** Seconds before its end at which a URL counts as expired. */
const MARGIN = 10;

/** `download(id, part)` resolves with the file's blob; used if a URL has expired. */
export function attachmentList(attachments, download) {
  return el(
    "ul.attachments",
    { "aria-label": t("attachments") },
    attachments.map((each) =>
      el("li", {}, each.thumbnail_url ? image(each, attachments, download) : file(each, download)),
    ),
  );
}

/** If the URL of `image` has expired, show the file of the attachment instead; `part`: "" or "/thumbnail". */
export function recoverImage(image, { id }, part, download) {
  const recover = async () => {
    const blob = await download(id, part).catch(() => null);
    if (!blob) return;
    const url = URL.createObjectURL(blob);
    // The file would stay in memory as long as the URL exists.
    for (const type of ["load", "error"]) image.addEventListener(type, () => URL.revokeObjectURL(url), { once: true });
    image.src = url;
  };
  image.addEventListener("error", recover, { once: true });
}

/** The place is reserved before the image is loaded, so nothing moves when it is. */
function image(attachment, attachments, download) {
  const { name, description, content_type, url, thumbnail_url, width, height } = attachment;
  const scale = Math.min(1, MAX_WIDTH / width, MAX_HEIGHT / height);
  // Only the file itself is animated.
  const animated = content_type === "image/gif";
  const shown = el("img", {
    src: animated ? url : thumbnail_url,
    alt: description || name,
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
    loading: "lazy",
    decoding: "async",
  });
  recoverImage(shown, attachment, animated ? "" : "/thumbnail", download);
  const enlarge = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const images = attachments.filter((each) => each.thumbnail_url);
    withDialogs(({ openLightbox }) => openLightbox(images, images.indexOf(attachment), download));
  };
  return fileLink("a.attachment-image", attachment, download, { title: name }, enlarge, shown);
}

function file(attachment, download) {
  const { name, size } = attachment;
  return fileLink(
    "a.attachment-file",
    attachment,
    download,
    { download: name },
    null,
    icon("file"),
    el("span.name.ellipsis", { dir: "auto" }, name),
    el("span.size", {}, formatSize(size)),
  );
}

/**
 * A link that opens in a tab of its own; if its URL has expired, it saves the file. `onPress(event)`, or null, is called
 * first: if it prevents the default, nothing else happens.
 */
export function fileLink(selector, attachment, download, attributes, onPress, ...children) {
  const open = async (event) => {
    onPress?.(event);
    if (event.defaultPrevented || !isExpired(attachment.url)) return;
    event.preventDefault();
    const blob = await download(attachment.id, "").catch(() => null);
    if (blob) saveFile(blob, attachment.name);
  };
  const shared = { href: attachment.url, target: "_blank", rel: "noopener", onclick: open };
  return el(selector, { ...shared, ...attributes }, ...children);
}

function isExpired(url) {
  const expires = Number(new URL(url, location.href).searchParams.get("expires"));
  return expires * 1000 < Date.now() + MARGIN * 1000;
}
