/** Suggests people while the user writes a mention in a textarea. */

import { avatar, groupAvatar } from "./avatar.js";
import { el, setAttr, setChildren, setText } from "./dom.js";
import { t } from "./i18n.js";
import { unfinishedMention } from "./mentions.js";

/** Milliseconds without a keystroke before the search is sent. */
const SEARCH_DEBOUNCE = 150;
const MAX_SUGGESTIONS = 6;
/** Pixels between the textarea, which may have a border around it, and the list; at least also to the window's edge. */
const GAP = 8;

let listCount = 0;

/** Return the search, for MentionSuggestions, for all users but the one with the id `myId`. */
export function userSearch(api, myId) {
  return async (query, max) => {
    const { items } = await api.users(query, max + 1);
    return items.filter(({ id }) => id !== myId).slice(0, max);
  };
}

/**
 * The focus stays in the textarea; `aria-activedescendant` tells screen readers which suggestion Enter takes. `element`
 * has to stand beside the textarea.
 */
export class MentionSuggestions {
  element;
  #textarea;
  #find;
  #list;
  #status = el("p.visually-hidden", { role: "status" });
  /** The suggested profiles; empty while the list is closed. */
  #profiles = [];
  #active = 0;
  #requestNumber = 0;
  #timer;

  /** `find(query, max)` resolves to the profiles to suggest; with `isEveryone`, to what stands for all of a group. */
  constructor(textarea, find) {
    this.#textarea = textarea;
    this.#find = find;
    const id = `mention-suggestions-${(listCount += 1)}`;
    this.#list = el("ul.menu.mention-suggestions", {
      id,
      role: "listbox",
      popover: "manual",
      "aria-label": t("mentions.suggestions"),
    });
    this.element = el("div.mention-anchor", {}, this.#list, this.#status);
    setAttr(textarea, "aria-autocomplete", "list");
    textarea.addEventListener("input", () => this.#onInput());
    textarea.addEventListener("blur", () => this.#close());
  }

  /** Handle a key press in the textarea. Returns whether it was for the suggestions. */
  onKeyDown(event) {
    if (!this.#profiles.length || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.#activate((this.#active + step + this.#profiles.length) % this.#profiles.length);
    else if (event.key === "Enter" || event.key === "Tab") this.#take(this.#profiles[this.#active]);
    else if (event.key === "Escape") this.#close();
    else return false;
    event.preventDefault();
    return true;
  }

  #onInput() {
    clearTimeout(this.#timer);
    const mention = this.#mention();
    if (!mention) this.#close();
    else this.#timer = setTimeout(() => this.#search(mention.query), SEARCH_DEBOUNCE);
  }

  #mention() {
    return unfinishedMention(this.#textarea.value, this.#textarea.selectionEnd);
  }

  async #search(query) {
    const requestNumber = (this.#requestNumber += 1);
    const profiles = await this.#find(query, MAX_SUGGESTIONS).catch(() => []);
    // Ignore the response if the user has typed on or left the field, or it is gone.
    if (requestNumber !== this.#requestNumber || this.#mention()?.query !== query) return;
    if (!this.#textarea.isConnected) return;
    // A username that is complete needs no suggestion, which could cover the button.
    const isComplete = profiles.length === 1 && profiles[0].username === query.toLowerCase();
    if (profiles.length && !isComplete) this.#open(profiles);
    else this.#close();
  }

  #open(profiles) {
    this.#profiles = profiles;
    setChildren(
      this.#list,
      profiles.map((profile, index) => this.#option(profile, `${this.#list.id}-${index}`)),
    );
    if (!this.#list.matches(":popover-open")) this.#list.showPopover();
    this.#position();
    setAttr(this.#textarea, "aria-controls", this.#list.id);
    setText(this.#status, t("people.result_count", { count: profiles.length }));
    this.#activate(0);
  }

  #option(profile, id) {
    const onPress = (event) => {
      // The focus stays in the textarea.
      event.preventDefault();
      this.#take(profile);
    };
    return el(
      "li.row",
      { id, role: "option", onpointerdown: onPress },
      profile.isEveryone ? groupAvatar(profile.id, "small") : avatar(profile, "small"),
      el(
        "span.grow",
        {},
        el("span.name.ellipsis", { dir: "auto" }, profile.display_name),
        el("span.muted.small.ellipsis", { dir: "ltr" }, `@${profile.username}`),
      ),
    );
  }

  #activate(index) {
    this.#active = index;
    [...this.#list.children].forEach((option, each) => setAttr(option, "aria-selected", String(each === index)));
    setAttr(this.#textarea, "aria-activedescendant", this.#list.children[index].id);
  }

  #take({ username }) {
    const mention = this.#mention();
    const textarea = this.#textarea;
    this.#close();
    if (!mention) return;
    textarea.setRangeText(`@${username} `, mention.start, textarea.selectionEnd, "end");
    textarea.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #close() {
    clearTimeout(this.#timer);
    this.#requestNumber += 1;
    if (!this.#profiles.length) return;
    this.#profiles = [];
    this.#list.hidePopover();
    setText(this.#status, "");
    setAttr(this.#textarea, "aria-controls", null);
    setAttr(this.#textarea, "aria-activedescendant", null);
  }

  /** Below the textarea if there is room, else above it. */
  #position() {
    const anchor = this.#textarea.getBoundingClientRect();
    const { width, height } = this.#list.getBoundingClientRect();
    const below = anchor.bottom + GAP;
    this.#list.style.left = `${Math.max(GAP, Math.min(anchor.left, innerWidth - width - GAP))}px`;
    this.#list.style.top = `${below + height <= innerHeight ? below : Math.max(GAP, anchor.top - GAP - height)}px`;
  }
}
