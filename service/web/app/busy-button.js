/** Buttons that start an action, one at a time. */

import { setAttr } from "./dom.js";

/**
 * Run `action()`, unless an action of this button is running. Rejects as it does. The button is not `disabled` meanwhile,
 * with which it would lose the focus.
 */
export async function whileBusy(button, action) {
  if (button.getAttribute("aria-disabled")) return;
  setAttr(button, "aria-disabled", "true");
  try {
    await action();
  } finally {
    setAttr(button, "aria-disabled", null);
  }
}
