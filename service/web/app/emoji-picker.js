/** The dialog that picks an emoji: by category, by a search, or among those that were picked last. */

import { showDialog } from "./dialog.js";
import { el, setAttr, setChildren, setText } from "./dom.js";
import { loadEmoji, withTone } from "./emoji-data.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { isComposing } from "./keyboard.js";
import { recentEmoji, rememberEmoji, setSkinTone, skinTone } from "./recent-emoji.js";

/** Emoji that a search shows. */
const MAX_FOUND = 120;
/** Shows the skin tones. */
const HAND = "✋";

/** `onPick(emoji)` is called after the dialog has closed; not if the user picks none. */
export function openEmojiPicker(onPick) {
  let data = null;
  let picked = null;
  /** The index of the category that is shown: 0 for the recent ones. */
  let shown = 0;
  const input = el("input.input", {
    type: "search",
    "aria-label": t("emoji.search"),
    placeholder: t("emoji.search"),
    autocomplete: "off",
    maxlength: 60,
    dir: "auto",
    autofocus: true,
    oninput: render,
    onkeydown: onSearchKey,
  });
  const tones = el("select.input", { "aria-label": t("emoji.tone"), onchange: changeTone });
  const tabs = el("div.emoji-tabs", { role: "tablist", "aria-label": t("emoji.categories"), onkeydown: onTabKey });
  const grid = el("div.emoji-grid", { id: "emoji-grid", role: "tabpanel", onkeydown: onGridKey });
  const status = el("p.hint", { role: "status" }, t("loading"));
  const retry = el("button.button", { type: "button", hidden: true, onclick: load }, t("try_again"));

  async function load() {
    setAttr(retry, "hidden", true);
    setText(status, t("loading"));
    try {
      data = await loadEmoji();
    } catch (error) {
      setText(status, errorText(error));
      setAttr(retry, "hidden", false);
      return;
    }
    shown = recentEmoji().length ? 0 : 1;
    const names = [t("emoji.no_tone"), ...data.tones];
    setChildren(
      tones,
      names.map((name, tone) =>
        el("option", { value: tone, "aria-label": name, selected: tone === skinTone() }, withTone(HAND, tone)),
      ),
    );
    const categories = [{ name: t("emoji.recent"), image: icon("clock") }, ...data.groups.map(categoryOf)];
    setChildren(tabs, categories.map(createTab));
    render();
  }

  function createTab({ name, image }, index) {
    const show = () => {
      shown = index;
      input.value = "";
      render();
    };
    return el(
      "button",
      { type: "button", role: "tab", "aria-label": name, title: name, "aria-controls": grid.id, onclick: show },
      image,
    );
  }

  function render() {
    if (!data) return;
    const query = input.value.trim();
    const entries = query ? data.search(query, MAX_FOUND) : entriesOf(shown);
    [...tabs.children].forEach((tab, index) => {
      const isShown = !query && index === shown;
      setAttr(tab, "aria-selected", String(isShown));
      tab.tabIndex = index === shown ? 0 : -1;
    });
    setAttr(grid, "aria-label", query ? t("emoji.found") : tabs.children[shown].title);
    setChildren(grid, entries.map(createButton));
    if (grid.firstChild) grid.firstChild.tabIndex = 0;
    grid.scrollTop = 0;
    if (query) setText(status, entries.length ? t("emoji.result_count", { count: entries.length }) : t("emoji.none"));
    else setText(status, entries.length ? "" : t("emoji.no_recent"));
  }

  function entriesOf(index) {
    return index === 0 ? data.entriesOf(recentEmoji()) : data.groups[index - 1].emoji;
  }

  function createButton({ text, name, hasTones }) {
    const emoji = hasTones ? withTone(text, skinTone()) : text;
    const pick = () => {
      picked = emoji;
      dialog.close();
    };
    return el("button", { type: "button", tabindex: "-1", "aria-label": name, title: name, onclick: pick }, emoji);
  }

  function changeTone() {
    setSkinTone(Number(tones.value));
    render();
  }

  function onSearchKey(event) {
    if (isComposing(event)) return;
    if (event.key === "ArrowDown") grid.querySelector('[tabindex="0"]')?.focus();
    else if (event.key === "Enter") input.value.trim() && grid.firstChild?.click();
    else return;
    event.preventDefault();
  }

  function onTabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const { length } = tabs.children;
    const next = tabs.children[(shown + step + length) % length];
    next.click();
    next.focus();
  }

  function onGridKey(event) {
    const buttons = [...grid.children];
    const index = buttons.indexOf(event.target);
    const columns = buttons.filter(({ offsetTop }) => offsetTop === buttons[0].offsetTop).length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    let next;
    if (event.key in steps) next = index + steps[event.key];
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = buttons.length - 1;
    else return;
    event.preventDefault();
    if (next < 0 && event.key === "ArrowUp") return input.focus();
    if (!buttons[next]) return;
    event.target.tabIndex = -1;
    buttons[next].tabIndex = 0;
    buttons[next].focus();
  }

  const body = el(
    "div.form.emoji-picker",
    {},
    el("div.emoji-search", {}, el("div.search", {}, icon("search"), input), tones),
    tabs,
    status,
    retry,
    grid,
  );
  const dialog = showDialog(t("emoji.title"), body);
  dialog.closed.then(() => {
    if (!picked) return;
    rememberEmoji(picked);
    onPick(picked);
  });
  load();
}

/** A category shows its first emoji. */
function categoryOf({ name, emoji }) {
  return { name, image: emoji[0].text };
}
