/** Find people and choose some of them. */

import { avatar } from "./avatar.js";
import { el, KeyedList, setText } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { icon } from "./icon.js";

const PAUSE = 200;
/** Milliseconds without a key after which one has probably typed what one looks for. */

export class PeopleSearch {
  element;
  #api;
  #without;
  #onChange;
  #chosen = new Map();
  #chips;
  #results;
  #state;
  #input;
  #found = [];
  #asked = 0;
  #timer;

  /** `without`: ids of people not to offer; `onChange(profiles)`: others have been chosen. */
  constructor(api, without, onChange) {
    this.#api = api;
    this.#without = new Set(without);
    this.#onChange = onChange;
    this.#input = el("input.input", {
      type: "search",
      "aria-label": t("people.search"),
      placeholder: t("people.search"),
      autocomplete: "off",
      autofocus: true,
      oninput: () => this.#wait(),
    });
    this.#state = el("p.hint", { role: "status" }, t("people.hint"));
    const chips = el("div.chips");
    const results = el("ul.rows", { role: "list" });
    this.#chips = new KeyedList(chips, { key: ({ id }) => id, create: (profile) => this.#chip(profile), update() {} });
    this.#results = new KeyedList(results, {
      key: ({ profile }) => profile.id,
      create: ({ profile }) => this.#result(profile),
      update: (row, { chosen }) => (row.querySelector("input").checked = chosen),
    });
    this.element = el(
      "div.people-search",
      {},
      el("div.search", {}, icon("search"), this.#input),
      chips,
      this.#state,
      results,
    );
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#search(), PAUSE);
  }

  async #search() {
    const query = this.#input.value.trim();
    const asked = (this.#asked += 1);
    try {
      const { items } = query ? await this.#api.users(query) : { items: [] };
      // An answer that was overtaken is of no use.
      if (asked !== this.#asked) return;
      this.#found = items.filter(({ id }) => !this.#without.has(id));
      const none = query ? t("people.none") : t("people.hint");
      setText(this.#state, this.#found.length ? t("people.found", { count: this.#found.length }) : none);
    } catch (error) {
      setText(this.#state, errorText(error));
    }
    this.#render();
  }

  #render() {
    this.#chips.render([...this.#chosen.values()]);
    this.#results.render(this.#found.map((profile) => ({ profile, chosen: this.#chosen.has(profile.id) })));
  }

  #toggle(profile) {
    if (!this.#chosen.delete(profile.id)) this.#chosen.set(profile.id, profile);
    this.#render();
    this.#onChange([...this.#chosen.values()]);
  }

  #result(profile) {
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
          el("span.name.line", {}, profile.display_name),
          el("span.muted.small.line", {}, `@${profile.username}`),
        ),
        el("input", { type: "checkbox", onchange: () => this.#toggle(profile) }),
      ),
    );
  }

  #chip(profile) {
    return el(
      "button.chip",
      {
        type: "button",
        "aria-label": t("details.remove", { name: profile.display_name }),
        onclick: () => this.#toggle(profile),
      },
      profile.display_name,
      icon("close"),
    );
  }
}
