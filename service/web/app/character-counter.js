/** Shows how many characters are left in a text field, once there are few. */

import { el, setAttr, setText } from "./dom.js";
import { t } from "./i18n.js";
import { codePoints } from "./text.js";

/** The number of characters left is shown from here on. */
const THRESHOLD = 200;

export class CharacterCounter {
  element = el("p.character-count.small.muted", { role: "status", hidden: true });
  #limit;

  /** `limit`: code points, as the server counts. */
  constructor(limit) {
    this.#limit = limit;
  }

  /** Show the count for `text`. Returns whether it can be sent: neither empty nor too long. */
  update(text) {
    const length = codePoints(text.trim());
    const left = this.#limit - length;
    setAttr(this.element, "hidden", left > THRESHOLD);
    this.element.classList.toggle("error", left < 0);
    if (left <= THRESHOLD) {
      const message = left < 0 ? t("composer.too_long", { count: -left }) : t("composer.left", { count: left });
      setText(this.element, message);
    }
    return length > 0 && left >= 0;
  }
}
