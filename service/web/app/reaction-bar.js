/** The reactions to a post or comment: how many there are of each, the user's own, and a menu that adds one. */

import { el, KeyedList, setAttr, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, formatNumber, t } from "./i18n.js";
import { openMenu } from "./menu.js";
import { REACTIONS } from "./message-menu.js";
import { showToast } from "./toast.js";

/**
 * Return {element, show(subject)}. `subject`: a post or comment. `react(emoji, on)` adds or removes a reaction of the
 * user, and returns a promise of the changed subject.
 */
export function reactionBar(subject, react) {
  let shown = null;
  /** Whether a request is under way: a second press must not be sent with the state before the first. */
  let isSaving = false;
  const chips = el("span.reactions.static");
  const list = new KeyedList(chips, {
    key: ({ emoji }) => emoji,
    create: ({ emoji }) => el("button", { type: "button", onclick: () => toggle(emoji) }),
    update(button, { emoji, count, isMine }) {
      setAttr(button, "aria-pressed", String(isMine));
      setAttr(button, "aria-label", t("reactions.count", { emoji, count }));
      setChildren(button, el("span", {}, emoji), el("span", {}, formatNumber(count)));
    },
  });
  const add = el(
    "button.icon-button.add-reaction",
    { type: "button", title: t("reactions.add"), "aria-label": t("reactions.add"), onclick: () => openReactions() },
    icon("smile"),
  );

  const show = (changed) => {
    if (changed === shown) return;
    shown = changed;
    const mine = new Set(changed.my_reactions);
    list.render(
      Object.entries(changed.reactions).map(([emoji, count]) => ({ emoji, count, isMine: mine.has(emoji) })),
    );
  };
  const toggle = async (emoji) => {
    if (isSaving) return;
    isSaving = true;
    try {
      show(await react(emoji, !shown.my_reactions.includes(emoji)));
      // The focus was on a button that no longer exists.
      if (document.activeElement === document.body) add.focus({ preventScroll: true });
    } catch (error) {
      showToast(errorText(error));
    } finally {
      isSaving = false;
    }
  };
  const openReactions = () =>
    openMenu(
      add,
      t("reactions.add"),
      [],
      REACTIONS.map((emoji) => ({
        text: emoji,
        label: t("message.react_with", { emoji }),
        pressed: shown.my_reactions.includes(emoji),
        action: () => toggle(emoji),
      })),
    );
  show(subject);
  return { element: el("span.reaction-bar", {}, chips, add), show };
}
