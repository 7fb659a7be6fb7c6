/** The page that an invitation's link opens: what group it is to, and the button to join it. */

import { AutoRetry } from "./auto-retry.js";
import { whileBusy } from "./busy-button.js";
import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { linkToConversation, replaceRoute } from "./router.js";
import { showToast } from "./toast.js";

export class InvitationPage {
  element;
  #app;
  #token;
  #content = el("div.empty-state", {}, el("p", { role: "status" }, t("loading")));
  #loader;

  constructor(app, token) {
    this.#app = app;
    this.#token = token;
    const heading = el("h1.visually-hidden", { tabindex: "-1" }, t("invitation.title"));
    this.element = el("main.page.scroll", { id: "content" }, heading, this.#content);
    this.#loader = new AutoRetry(
      () => this.#load(),
      (error) => this.#showError(error),
    );
    this.#loader.run();
  }

  close() {
    this.#loader.close();
  }

  /** If the invitation could not be loaded yet, try again. */
  refresh() {
    this.#loader.run();
  }

  async #load() {
    const invitation = await this.#app.api.invitation(this.#token);
    if (invitation.conversation_id) return this.#open(invitation.conversation_id);
    const join = el("button.button.primary", { type: "button", onclick: () => this.#join(join) }, t("invitation.join"));
    setChildren(
      this.#content,
      icon("people"),
      el("h2", { dir: "auto" }, invitation.title ?? t("chats.group")),
      el("p", {}, t("conversation.people", { count: invitation.participant_count })),
      el("p.muted", { dir: "auto" }, t("invitation.from", { name: invitation.inviter.display_name })),
      join,
    );
  }

  async #join(button) {
    try {
      await whileBusy(button, async () => this.#open((await this.#app.api.acceptInvitation(this.#token)).id));
    } catch (error) {
      if (error.code === "not_found") this.#showError(error);
      else showToast(error.code === "forbidden" ? t("invitation.full") : errorText(error));
    }
  }

  #open(conversationId) {
    replaceRoute(linkToConversation(conversationId));
  }

  #showError(error) {
    const gone = error.code === "not_found";
    setChildren(
      this.#content,
      icon("alert"),
      el("p", { role: "alert" }, gone ? t("invitation.gone") : errorText(error)),
      gone && el("p.muted", {}, t("invitation.gone.hint")),
      el("a.button", { href: "#/" }, t("nav.chats")),
    );
  }
}
