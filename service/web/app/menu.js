/** A popup menu: arrow keys move within it, Escape or a press outside closes it. */

import { el } from "./dom.js";
import { icon } from "./icon.js";

/** Pixels between the opener and the menu, and at least to the window's edge. */
const GAP = 4;

/**
 * `items`: [{label, icon, danger?, action}]; falsy entries are left out. `toggles`: a row of toggle buttons above them,
 * [{label, text, pressed, action}]; the last one may be an ordinary button, {label, icon, action}. `label`: the menu's
 * accessible name. The opener gets the focus back.
 */
export function openMenu(opener, label, items, toggles = []) {
  const choose = (action) => () => {
    menu.hidePopover();
    action();
  };
  const toggleButtons = toggles.map(({ label, text, icon: name, pressed, action }) =>
    el(
      "button",
      {
        type: "button",
        role: name ? "menuitem" : "menuitemcheckbox",
        "aria-checked": name ? null : String(pressed),
        "aria-label": label,
        title: name && label,
        onclick: choose(action),
      },
      name ? icon(name) : text,
    ),
  );
  const itemButtons = items
    .filter(Boolean)
    .map((item) =>
      el(
        item.danger ? "button.danger" : "button",
        { type: "button", role: "menuitem", onclick: choose(item.action) },
        icon(item.icon),
        item.label,
      ),
    );
  const menu = el(
    "div.menu",
    { role: "menu", "aria-label": label, popover: "auto" },
    toggleButtons.length > 0 && el("div.reactions-row", { role: "group" }, toggleButtons),
    itemButtons,
  );
  menu.addEventListener("keydown", (event) => onKeyDown(event, [...toggleButtons, ...itemButtons]));
  menu.addEventListener("toggle", (event) => {
    if (event.newState === "open") return;
    const hadFocus = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    if (hadFocus) opener.focus({ preventScroll: true });
  });
  // Within a modal dialog: everything outside it is inert.
  (opener.closest("dialog") ?? document.body).append(menu);
  menu.showPopover();
  position(menu, opener);
  (toggleButtons[0] ?? itemButtons[0]).focus();
}

/** Return a button with three dots that opens a menu of `items`; `label`: the name of both. */
export function menuButton(label, items) {
  const button = el(
    "button.icon-button.menu-button",
    {
      type: "button",
      "aria-label": label,
      "aria-haspopup": "menu",
      title: label,
      onclick: () => openMenu(button, label, items),
    },
    icon("more"),
  );
  return button;
}

function onKeyDown(event, buttons) {
  const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
  const index = buttons.indexOf(document.activeElement);
  if (event.key in steps) buttons.at((index + steps[event.key]) % buttons.length).focus();
  else if (event.key === "Home") buttons[0].focus();
  else if (event.key === "End") buttons.at(-1).focus();
  else if (event.key === "Tab") event.currentTarget.hidePopover();
  else return;
  event.preventDefault();
}

/** Place the menu below the opener if it fits there, else above; always within the window. */
function position(menu, opener) {
  const anchor = opener.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const fitsBelow = anchor.bottom + GAP + height <= innerHeight;
  const top = fitsBelow ? anchor.bottom + GAP : Math.max(GAP, anchor.top - GAP - height);
  const left = anchor.left + anchor.width / 2 < innerWidth / 2 ? anchor.left : anchor.right - width;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.min(Math.max(GAP, left), innerWidth - width - GAP)}px`;
}
