/** The page of moderators: the open reports, and what can be done about them. */

import { AutoRetry } from "./auto-retry.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { openModerationLog } from "./moderation-log-dialog.js";
import { reportCard } from "./report-card.js";

export class ModerationPage {
  element;
  #app;
  #reports = [];
  #next = null;
  #loaded = false;
  #heading = el("h1", { tabindex: "-1" }, t("moderation.title"));
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
      { type: "button", onclick: () => openModerationLog(app.api) },
      icon("clock"),
      t("moderation.log"),
    );
    this.element = el(
      "main.page.scroll",
      { id: "content" },
      el(
        "div.page-content",
        {},
        el("header.post-header", {}, this.#heading, showLog),
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

  async #load() {
    const { items, next } = await this.#app.api.reports();
    this.#loaded = true;
    this.#show(items, next);
  }

  async #loadOlder() {
    const { items, next } = await this.#app.api.reports({ before: this.#next });
    this.#show([...this.#reports, ...items], next);
  }

  #show(reports, next) {
    this.#reports = reports;
    this.#next = next;
    this.#cards.render(reports);
    this.#loadMore.setHasMore(Boolean(next));
    setChildren(this.#status, reports.length === 0 && el("p.muted", {}, t("moderation.none")));
  }

  /** Remove a report that was closed. The focus was in it. */
  #remove(id) {
    const reports = this.#reports.filter((report) => report.id !== id);
    this.#show(reports, this.#next);
    this.#heading.focus({ preventScroll: true });
  }
}
