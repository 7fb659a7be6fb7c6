/** The reactions to a post or comment: how many there are of each, the user's own, and a menu that adds one. */

import { el, KeyedList, setAttr, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, formatNumber, t } from "./i18n.js";
import { openMenu } from "./menu.js";
import { reactionChoices } from "./reaction-choices.js";
import { showToast } from "./toast.js";

/**
 * Return {element, show(subject), refresh(load)}. `subject`: a post or comment. `react(emoji, on)` adds or removes a
 * reaction of the user, and returns a promise of the changed subject. `refresh` shows what `load()` resolves to.
 */
export function reactionBar(subject, react) {
  let shown = null;
  /** Whether a request is under way: a second press must not be sent with the state before the first. */
  let isSaving = false;
  /** How many requests have begun, and have ended. */
  let saveSteps = 0;
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
    saveSteps += 1;
    try {
      show(await react(emoji, !shown.my_reactions.includes(emoji)));
      // The focus was on a button that no longer exists.
      if (document.activeElement === document.body) add.focus({ preventScroll: true });
    } catch (error) {
      showToast(errorText(error));
    } finally {
      isSaving = false;
      saveSteps += 1;
    }
  };
  const refresh = async (load) => {
    const before = saveSteps;
    const loaded = await load();
    // A response from before the user's own change would undo it on the screen; that of the change is shown.
    if (before === saveSteps && !isSaving) show(loaded);
  };
  const openReactions = () =>
    openMenu(
      add,
      t("reactions.add"),
      [],
      reactionChoices((emoji) => shown.my_reactions.includes(emoji), toggle),
    );
  show(subject);
  return {
    element: el("span.reaction-bar", {}, chips, add),
    show,
    refresh,
    /** What is shown: the subject as it was passed to `show` last. */
    get shown() {
      return shown;
    },
  };
}
