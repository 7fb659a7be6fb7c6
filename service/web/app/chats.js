/** The list of conversations, and beside it the one that is open. */

import { ChatPane } from "./chat-pane.js";
import { ConversationList } from "./conversation-list.js";
import { el, fill } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { startChat } from "./new-chat.js";
import { replaceRoute } from "./route.js";
import { say } from "./toast.js";

const MAX_WATCHED = 200;

export class Chats {
  element;
  #app;
  #list;
  #pane = null;
  #slot = el("div.slot");
  #current = null;
  #watched = "";
  #ends = new AbortController();

  constructor(app) {
    this.#app = app;
    this.#list = new ConversationList(app, () => startChat(app));
    this.element = el("div.chat", {}, this.#list.element, this.#slot);
    this.#showNone();
    const { signal } = this.#ends;
    addEventListener("focus", () => this.#pane?.noteSeen(), { signal });
    document.addEventListener("visibilitychange", () => this.#pane?.noteSeen(), { signal });
  }

  close() {
    this.#ends.abort();
    this.#closePane();
    this.#list.close();
  }

  /** Open a conversation, or none. */
  open(conversationId) {
    if (conversationId === this.#current) return;
    this.#closePane();
    this.#current = conversationId;
    this.#showNone();
    if (conversationId) this.#begin(conversationId);
  }

  async #begin(conversationId) {
    const { store } = this.#app;
    try {
      await store.openConversation(conversationId);
    } catch (error) {
      // It is not one of theirs, or not any longer.
      say(errorText(error));
      if (conversationId === this.#current) replaceRoute("#/");
      return;
    }
    if (conversationId !== this.#current) return;
    this.render(store.getSnapshot());
    this.#pane?.begin();
  }

  render(state) {
    this.#list.render(state, this.#current);
    this.#watch(state);
    const conversation = state.conversations[this.#current];
    if (this.#pane && !conversation?.details) {
      // One was taken out of it, or has left.
      replaceRoute("#/");
    } else if (!this.#pane && conversation?.details) {
      this.#pane = new ChatPane(this.#app, this.#current, state);
      fill(this.#slot, this.#pane.element);
      this.#pane.render(state);
      this.#pane.focus();
    } else {
      this.#pane?.render(state);
    }
  }

  #closePane() {
    if (this.#current) this.#app.store.closeConversation(this.#current);
    this.#pane?.close();
    this.#pane = null;
  }

  #showNone() {
    const none = el("main.pane", { id: "content" }, el("div.empty", {}, icon("chats"), el("p", {}, t("chats.choose"))));
    fill(this.#slot, none);
  }

  /** Follow who is online of the people that are shown. */
  #watch({ conversationIds, conversations }) {
    const ids = new Set();
    for (const id of [this.#current, ...conversationIds]) {
      for (const userId of conversations[id]?.details?.participant_ids.slice(0, 20) ?? []) {
        if (userId !== this.#app.me.id && ids.size < MAX_WATCHED) ids.add(userId);
      }
    }
    const wanted = [...ids].sort().join();
    if (wanted === this.#watched) return;
    this.#watched = wanted;
    this.#app.socket.watchPresence([...ids]);
  }
}
