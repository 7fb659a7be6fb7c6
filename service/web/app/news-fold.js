/** The button that stands for what has arrived out of view: pressing it shows that. */

import { el, setAttr, setText } from "./dom.js";
import { t } from "./i18n.js";

/**
 * Return {element, add(), clear()}. `message`: the key of the text, with `count`. `show()` is called when the button is
 * pressed.
 */
export function newsFold(message, show) {
  let count = 0;
  const label = el("span");
  const button = el("button.button.primary.news-fold", { type: "button", hidden: true, onclick: () => open() }, label);
  const render = () => {
    if (count) setText(label, t(message, { count }));
    setAttr(button, "hidden", count === 0);
  };
  const clear = () => {
    count = 0;
    render();
  };
  const open = () => {
    clear();
    show();
  };
  return {
    element: el("div.news-fold-region", { role: "status" }, button),
    add: () => {
      count += 1;
      render();
    },
    clear,
  };
}
