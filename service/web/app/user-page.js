/** The page of a user: who they are, and what one can do with them. */

import { AutoRetry } from "./auto-retry.js";
import { avatar } from "./avatar.js";
import { keepCurrent } from "./clock.js";
import { presenceText } from "./conversation-labels.js";
import { confirm } from "./dialog.js";
import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { withDialogs } from "./later.js";
import { linkToConversation, linkToUser, navigate } from "./router.js";
import { showToast } from "./toast.js";

/** Return the user's name as a link to their page. */
export function userLink(user) {
  return el("a.name", { href: linkToUser(user.id), dir: "auto" }, user.display_name);
}

export class UserPage {
  element;
  #app;
  #id;
  #content = el("div.empty-state", {}, el("p", { role: "status" }, t("loading")));
  #user = null;
  #presence;
  /** What is shown, as JSON. */
  #shown;
  #loader;
  #running = false;
  #unsubscribe;

  constructor(app, id) {
    this.#app = app;
    this.#id = id;
    const heading = el("h1.visually-hidden", { tabindex: "-1" }, t("user.title"));
    this.element = el("main.page.scroll", { id: "content" }, heading, this.#content);
    this.#loader = new AutoRetry(
      () => this.#load(),
      (error) => this.#showError(error),
    );
    this.#unsubscribe = app.blocked.subscribe(() => this.#render());
    this.#loader.run();
  }

  close() {
    this.#loader.close();
    this.#unsubscribe();
  }

  /** Load the user again: they may have changed meanwhile. */
  refresh() {
    this.#loader.run();
  }

  async #load() {
    const { api } = this.#app;
    const [user, presence] = await Promise.all([api.user(this.#id), api.presence([this.#id])]);
    this.#user = user;
    this.#presence = presence[this.#id];
    this.#render();
  }

  #render() {
    const user = this.#user;
    if (!user) return;
    const shown = JSON.stringify([user, this.#presence, this.#app.blocked.has(user.id)]);
    // The focus stays where it is.
    if (shown === this.#shown) return;
    this.#shown = shown;
    const buttons = () => [...this.#content.querySelectorAll("button")];
    const focused = buttons().indexOf(document.activeElement);
    setChildren(
      this.#content,
      avatar(user, "large"),
      el("h2", { dir: "auto" }, user.display_name),
      el("p.muted", { dir: "ltr" }, `@${user.username}`),
      keepCurrent(el("p.muted.small"), () => presenceText(this.#presence)),
      user.id !== this.#app.me.id && this.#actions(user),
    );
    buttons()[focused]?.focus();
  }

  #actions({ id, display_name: name }) {
    const { api, blocked } = this.#app;
    const button = (selector, label, iconName, action) =>
      el(selector, { type: "button", onclick: () => this.#run(action) }, icon(iconName), label);
    const report = () => withDialogs(({ openReportDialog }) => openReportDialog(api, { kind: "user", id }, name));
    const block = async () => {
      if (await confirm(t("block.question", { name }), t("block.begin"))) await api.block(id);
    };
    return el(
      "div.row",
      {},
      button("button.button.primary", t("user.message"), "chats", async () =>
        navigate(linkToConversation((await api.createConversation([id])).id)),
      ),
      blocked.has(id)
        ? button("button.button", t("block.end_of", { name }), "block", () => api.unblock(id))
        : button("button.button", t("block.begin_of", { name }), "block", block),
      el("button.button", { type: "button", onclick: report }, icon("flag"), t("report.begin_of", { name })),
    );
  }

  /** The buttons are not disabled meanwhile: they would lose the focus. */
  async #run(action) {
    if (this.#running) return;
    this.#running = true;
    try {
      await action();
    } catch (error) {
      showToast(errorText(error));
    }
    this.#running = false;
  }

  #showError(error) {
    if (this.#user) return;
    const gone = error.code === "not_found" || error.code === "validation_failed";
    setChildren(
      this.#content,
      icon("alert"),
      el("p", { role: "alert" }, gone ? t("user.gone") : errorText(error)),
      el("a.button", { href: "#/" }, t("nav.chats")),
    );
  }
}
