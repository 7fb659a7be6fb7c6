/** Searches people by name and lets the user select several. */

import { avatar } from "./avatar.js";
import { el, KeyedList, setText } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { icon } from "./icon.js";

/** Milliseconds without a keystroke before the search is sent. */
const SEARCH_DEBOUNCE = 200;
/** Pages to ask for until one has a user: the server reads a bounded number of users for each. */
const MAX_PAGES = 5;

export class PeoplePicker {
  element;
  #api;
  #excluded;
  #onChange;
  #selected = new Map();
  #chips;
  #resultList;
  #status;
  #input;
  #results = [];
  #requestNumber = 0;
  #timer;

  /** `excludedIds`: users not to offer; `onChange(profiles)` is called with the selected ones. */
  constructor(api, excludedIds, onChange) {
    this.#api = api;
    this.#excluded = new Set(excludedIds);
    this.#onChange = onChange;
    this.#input = el("input.input", {
      type: "search",
      "aria-label": t("people.search"),
      placeholder: t("people.search"),
      autocomplete: "off",
      dir: "auto",
      autofocus: true,
      oninput: () => this.#onInput(),
    });
    this.#status = el("p.hint", { role: "status" }, t("people.hint"));
    const chips = el("div.chips");
    const results = el("ul.rows", { role: "list" });
    this.#chips = new KeyedList(chips, {
      key: ({ id }) => id,
      create: (profile) => this.#createChip(profile),
      update() {},
    });
    this.#resultList = new KeyedList(results, {
      key: ({ profile }) => profile.id,
      create: ({ profile }) => this.#createResult(profile),
      update: (row, { selected }) => (row.querySelector("input").checked = selected),
    });
    this.element = el(
      "div.people-picker",
      {},
      el("div.search", {}, icon("search"), this.#input),
      chips,
      this.#status,
      results,
    );
  }

  #onInput() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#search(), SEARCH_DEBOUNCE);
  }

  async #search() {
    const query = this.#input.value.trim();
    const requestNumber = (this.#requestNumber += 1);
    try {
      let page = { items: [], next: null };
      for (let count = 0; query && count < MAX_PAGES; count++) {
        page = await this.#api.users(query, undefined, page.next);
        // Ignore the response if a newer search was started.
        if (requestNumber !== this.#requestNumber) return;
        if (page.items.length || !page.next) break;
      }
      this.#results = page.items.filter(({ id }) => !this.#excluded.has(id));
      const noResults = query ? t("people.none") : t("people.hint");
      setText(
        this.#status,
        this.#results.length ? t("people.result_count", { count: this.#results.length }) : noResults,
      );
    } catch (error) {
      setText(this.#status, errorText(error));
    }
    this.#render();
  }

  #render() {
    this.#chips.render([...this.#selected.values()]);
    this.#resultList.render(this.#results.map((profile) => ({ profile, selected: this.#selected.has(profile.id) })));
  }

  #toggle(profile) {
    if (!this.#selected.delete(profile.id)) this.#selected.set(profile.id, profile);
    this.#render();
    this.#onChange([...this.#selected.values()]);
  }

  #createResult(profile) {
    return el(
      "li",
      {},
      el(
        "label.row",
        {},
        avatar(profile, "small"),
        el(
          "span.grow",
          {},
          el("span.name.ellipsis", { dir: "auto" }, profile.display_name),
          el("span.muted.small.ellipsis", {}, `@${profile.username}`),
        ),
        el("input", { type: "checkbox", onchange: () => this.#toggle(profile) }),
      ),
    );
  }

  #createChip(profile) {
    return el(
      "button.chip",
      {
        type: "button",
        "aria-label": t("details.remove", { name: profile.display_name }),
        onclick: () => this.#toggle(profile),
      },
      el("span.ellipsis", { dir: "auto" }, profile.display_name),
      icon("close"),
    );
  }
}
