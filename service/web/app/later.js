/** Loads parts of the app that its start must not wait for. */

import { t } from "./i18n.js";
import { showToast } from "./toast.js";

const load = () => import("./dialogs.js");

let isOpening = false;

/**
 * Call `open` with the exports of `dialogs.js`, which are loaded with the first call. Does nothing while another call loads
 * them: one dialog opens, however often the user presses the button.
 */
export async function withDialogs(open) {
  if (isOpening) return;
  isOpening = true;
  let dialogs;
  try {
    dialogs = await load();
  } catch {
    return showToast(t("app.part_missing"));
  } finally {
    isOpening = false;
  }
  open(dialogs);
}

/** Load them before they are needed, so that they open at once, also without a connection. */
export function preloadDialogs() {
  load().catch(() => {});
}
