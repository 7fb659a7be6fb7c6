/** The chat page: the list of conversations and, beside it, the open one. */

import { conversationName } from "./conversation-labels.js";
import { ConversationList } from "./conversation-list.js";
import { ConversationView } from "./conversation-view.js";
import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { withDialogs } from "./later.js";
import { missing } from "./missing-page.js";
import { replaceRoute } from "./router.js";
import { showToast } from "./toast.js";

/** Users whose presence is watched at once. */
const MAX_WATCHED = 200;
const MAX_WATCHED_PER_CONVERSATION = 20;

export class ChatPage {
  element;
  #app;
  #list;
  #view = null;
  #viewContainer = el("div.pane-container");
  /** The id of the open conversation. */
  #currentId = null;
  #messageSeq = null;
  /** The store's conversations before the event that is being handled. */
  #conversations;
  #unsubscribers;
  #watched = "";
  #abort = new AbortController();

  constructor(app) {
    this.#app = app;
    this.#list = new ConversationList(app, () =>
      withDialogs(({ openNewChatDialog }) => openNewChatDialog(app)),
    );
    this.element = el("div.chat", {}, this.#list.element, this.#viewContainer);
    this.#showPlaceholder();
    this.#conversations = app.store.getSnapshot().conversations;
    this.#unsubscribers = [
      app.socket.subscribe((event) => this.#onEvent(event)),
      app.store.subscribe(({ conversations }) => (this.#conversations = conversations)),
    ];
    const { signal } = this.#abort;
    addEventListener("focus", () => this.#view?.reportSeen(), { signal });
    document.addEventListener("visibilitychange", () => this.#view?.reportSeen(), { signal });
  }

  close() {
    this.#abort.abort();
    for (const unsubscribe of this.#unsubscribers) unsubscribe();
    this.#closeView();
    this.#list.close();
  }

  /** Open a conversation; null closes the open one. `messageSeq`: the message to show, or null. */
  open(conversationId, messageSeq = null) {
    const isOpen = conversationId === this.#currentId;
    this.#messageSeq = messageSeq;
    if (isOpen && messageSeq) this.#view?.showMessage(messageSeq);
    if (isOpen) return;
    this.#closeView();
    this.#currentId = conversationId;
    this.#showPlaceholder();
    if (conversationId) this.#load(conversationId);
  }

  #onEvent({ type, conversation_id }) {
    if (type === "conversation_removed") this.#sayRemoved(conversation_id);
    if (type === "hello" && this.#view) this.#checkMembership(this.#currentId);
  }

  /** The user may have been removed from the open conversation while there was no connection. */
  async #checkMembership(conversationId) {
    try {
      await this.#app.store.openConversation(conversationId);
    } catch (error) {
      if (error.code !== "not_found" || conversationId !== this.#currentId) return;
      this.#sayRemoved(conversationId);
      replaceRoute("#/");
    }
  }

  /** Say which group the user is no longer in, unless they have left it themselves. */
  #sayRemoved(conversationId) {
    const details = this.#conversations[conversationId]?.details;
    const hasLeft = this.#app.leaving.delete(conversationId);
    if (details && !hasLeft) showToast(t("chats.removed", { name: conversationName(details, this.#app.me.id) }));
  }

  async #load(conversationId) {
    try {
      await this.#app.store.openConversation(conversationId);
    } catch (error) {
      // The user is not, or no longer, a participant; or the address has no id.
      if (conversationId !== this.#currentId) return;
      const isMissing = error.code === "not_found" || error.code === "validation_failed";
      setChildren(
        this.#viewContainer,
        el("main.pane", { id: "content" }, missing(isMissing ? t("chats.gone") : errorText(error))),
      );
      return;
    }
    if (conversationId !== this.#currentId) return;
    this.render(this.#app.getState());
    this.#view?.onLoaded(this.#messageSeq);
  }

  render(state) {
    this.#list.render(state, this.#currentId);
    this.#watchPresence(state);
    const conversation = state.conversations[this.#currentId];
    if (this.#view && !conversation?.details) {
      // The user has left the conversation or was removed from it.
      replaceRoute("#/");
    } else if (!this.#view && conversation?.details) {
      this.#view = new ConversationView(this.#app, this.#currentId, state);
      setChildren(this.#viewContainer, this.#view.element);
      this.#view.render(state);
      this.#view.focus();
    } else {
      this.#view?.render(state);
    }
  }

  #closeView() {
    if (this.#currentId) this.#app.store.closeConversation(this.#currentId);
    this.#view?.close();
    this.#view = null;
  }

  #showPlaceholder() {
    setChildren(
      this.#viewContainer,
      el("main.pane", { id: "content" }, el("div.empty-state", {}, icon("chats"), el("p", {}, t("chats.choose")))),
    );
  }

  /** Watch the presence of the participants of the open conversation and of those in the list. */
  #watchPresence({ conversationIds, conversations }) {
    const ids = new Set();
    for (const id of [this.#currentId, ...conversationIds]) {
      const participants = conversations[id]?.details?.participant_ids.slice(0, MAX_WATCHED_PER_CONVERSATION) ?? [];
      for (const userId of participants) {
        if (userId !== this.#app.me.id && ids.size < MAX_WATCHED) ids.add(userId);
      }
    }
    const key = [...ids].sort().join();
    if (key === this.#watched) return;
    this.#watched = key;
    this.#app.socket.watchPresence([...ids]);
  }
}
