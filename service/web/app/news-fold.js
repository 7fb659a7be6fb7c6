/** The button that stands for what has arrived out of view: pressing it shows that. */

import { el, setAttr, setText } from "./dom.js";
import { t } from "./i18n.js";

/**
 * Return {element, setCount(count)}; without news, the button is hidden. `message`: the key of the text, with `count`.
 * `show()` is called when the button is pressed.
 */
export function newsFold(message, show) {
  const label = el("span");
  const button = el("button.button.primary.news-fold", { type: "button", hidden: true, onclick: () => show() }, label);
  return {
    element: el("div.news-fold-region", { role: "status" }, button),
    setCount(count) {
      if (count) setText(label, t(message, { count }));
      setAttr(button, "hidden", count === 0);
    },
  };
}
