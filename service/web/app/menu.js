/** A menu beside what opened it: arrows move in it, Escape or a press elsewhere closes it. */

import { el } from "./dom.js";
import { icon } from "./icon.js";

const GAP = 4;

/**
 * `items`: [{label, icon, danger?, act}], what is false is left out; `first`: buttons in a row above them, [{label,
 * text, pressed, act}]. `label` names the menu.
 */
export function openMenu(opener, label, items, first = []) {
  const choose = (act) => () => {
    menu.hidePopover();
    act();
  };
  const row = first.map(({ label, text, pressed, act }) =>
    el(
      "button",
      {
        type: "button",
        role: "menuitemcheckbox",
        "aria-checked": String(pressed),
        "aria-label": label,
        onclick: choose(act),
      },
      text,
    ),
  );
  const rest = items
    .filter(Boolean)
    .map((item) =>
      el(
        item.danger ? "button.danger" : "button",
        { type: "button", role: "menuitem", onclick: choose(item.act) },
        icon(item.icon),
        item.label,
      ),
    );
  const menu = el(
    "div.menu",
    { role: "menu", "aria-label": label, popover: "auto" },
    row.length > 0 && el("div.reactions-row", { role: "group" }, row),
    rest,
  );
  menu.addEventListener("keydown", (event) => move(event, [...row, ...rest]));
  menu.addEventListener("toggle", (event) => {
    if (event.newState === "open") return;
    const hadFocus = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    if (hadFocus) opener.focus({ preventScroll: true });
  });
  document.body.append(menu);
  menu.showPopover();
  place(menu, opener);
  (row[0] ?? rest[0]).focus();
}

function move(event, buttons) {
  const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
  const at = buttons.indexOf(document.activeElement);
  if (event.key in steps) buttons.at((at + steps[event.key]) % buttons.length).focus();
  else if (event.key === "Home") buttons[0].focus();
  else if (event.key === "End") buttons.at(-1).focus();
  else if (event.key === "Tab") event.currentTarget.hidePopover();
  else return;
  event.preventDefault();
}

/** Below the opener, or above it, and in any case in the window. */
function place(menu, opener) {
  const from = opener.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = from.bottom + GAP + height <= innerHeight;
  const top = below ? from.bottom + GAP : Math.max(GAP, from.top - GAP - height);
  const left = from.left + from.width / 2 < innerWidth / 2 ? from.left : from.right - width;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.min(Math.max(GAP, left), innerWidth - width - GAP)}px`;
}
