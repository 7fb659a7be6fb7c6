/** What adds files to a message: buttons, pasting, and dropping them somewhere. */

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icon.js";

/** Devices without a mouse have a camera at hand. */
const TOUCH = matchMedia("(hover: none)");

/** Return the buttons that choose files; `add(files)`. */
export function attachButtons(add) {
  return [
    chooser("attach", "attachments.add", { multiple: true }, add),
    TOUCH.matches && chooser("camera", "attachments.camera", { accept: "image/*", capture: "environment" }, add),
  ];
}

/** Add what is pasted into `field`, if it is files. */
export function addPasted(field, add) {
  field.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    // Text that is copied with its picture, as office programs do, is text.
    if (!files.length || event.clipboardData.types.includes("text/plain")) return;
    event.preventDefault();
    add(files);
  });
}

/** Add the files that are dropped on `area`, which has the class `dropping` meanwhile. */
export function addDropped(area, add) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  area.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    area.classList.add("dropping");
  });
  area.addEventListener("dragleave", (event) => {
    if (!area.contains(event.relatedTarget)) area.classList.remove("dropping");
  });
  area.addEventListener("drop", (event) => {
    area.classList.remove("dropping");
    if (!hasFiles(event)) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
}

function chooser(name, label, attributes, add) {
  const input = el("input", { type: "file", hidden: true, tabindex: "-1", "aria-hidden": "true", ...attributes });
  input.addEventListener("change", () => {
    add([...input.files]);
    // The same file may be chosen again.
    input.value = "";
  });
  const button = el(
    "button.icon-button",
    { type: "button", "aria-label": t(label), title: t(label), onclick: () => input.click() },
    icon(name),
  );
  return [button, input];
}
