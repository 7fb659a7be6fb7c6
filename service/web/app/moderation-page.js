/** The page of moderators: the reports in a state, and what can be done about them. */

import { AutoRetry } from "./auto-retry.js";
import { openBans } from "./bans-dialog.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { labelled } from "./form.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { openModerationLog } from "./moderation-log-dialog.js";
import { reportCard } from "./report-card.js";

const STATES = {
  open: "moderation.state.open",
  resolved: "moderation.state.resolved",
  dismissed: "moderation.state.dismissed",
};

export class ModerationPage {
  element;
  #app;
  #reports = [];
  #next = null;
  #loaded = false;
  #heading = el("h1", { tabindex: "-1" }, t("moderation.title"));
  #states;
  #cards;
  #status = el("div", { role: "status" }, el("p.muted", {}, t("loading")));
  #loadMore = loadMoreButton(() => this.#loadOlder());
  #loader;

  constructor(app) {
    this.#app = app;
    const list = el("section.feed", { "aria-label": t("moderation.reports") });
    this.#cards = new KeyedList(list, {
      key: ({ id }) => id,
      create: (report) => reportCard(app, report, () => this.#remove(report.id)),
      update: () => {},
    });
    const showLog = el(
      "button.button",
      { type: "button", onclick: () => openModerationLog(app) },
      icon("clock"),
      t("moderation.log"),
    );
    const showBans = el(
      "button.button",
      { type: "button", onclick: () => openBans(app) },
      icon("block"),
      t("moderation.bans"),
    );
    this.#states = el(
      "select.input",
      { onchange: () => this.#showState() },
      Object.entries(STATES).map(([state, key]) => el("option", { value: state }, t(key))),
    );
    this.element = el(
      "main.page.scroll",
      { id: "content" },
      el(
        "div.page-content",
        {},
        el("header.post-header", {}, this.#heading, showBans, showLog),
        labelled("moderation.reports", this.#states),
        list,
        this.#status,
        this.#loadMore.element,
      ),
    );
    this.#loader = new AutoRetry(
      () => this.#load(),
      (error) => this.#loaded || setChildren(this.#status, el("p", { role: "alert" }, errorText(error))),
    );
    this.#loader.run();
  }

  close() {
    this.#loader.close();
    this.#loadMore.close();
  }

  /** Load the latest reports again. */
  refresh() {
    this.#loader.run();
  }

  #showState() {
    this.#show([], null);
    setChildren(this.#status, el("p.muted", {}, t("loading")));
    this.#loader.run();
  }

  async #load() {
    const state = this.#states.value;
    const { items, next } = await this.#app.api.reports({ state });
    // The user has chosen another state meanwhile.
    if (state !== this.#states.value) return;
    this.#loaded = true;
    this.#show(items, next);
  }

  async #loadOlder() {
    const state = this.#states.value;
    const { items, next } = await this.#app.api.reports({ state, before: this.#next });
    if (state === this.#states.value) this.#show([...this.#reports, ...items], next);
  }

  #show(reports, next) {
    this.#reports = reports;
    this.#next = next;
    this.#cards.render(reports);
    this.#loadMore.setHasMore(Boolean(next));
    setChildren(this.#status, reports.length === 0 && el("p.muted", {}, t(this.#states.value === "open" ? "moderation.none" : "moderation.none_closed")));
  }

  /** Remove a report whose state has changed. The focus was in it. */
  #remove(id) {
    const reports = this.#reports.filter((report) => report.id !== id);
    this.#show(reports, this.#next);
    this.#heading.focus({ preventScroll: true });
  }
}
