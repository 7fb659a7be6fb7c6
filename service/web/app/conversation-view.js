/** One open conversation: header, messages and composer. */

import { addDropped } from "./attach-buttons.js";
import { copyText } from "./clipboard.js";
import { ConversationHeader } from "./conversation-header.js";
import { conversationName } from "./conversation-labels.js";
import { openConversationMenu } from "./conversation-menu.js";
import { confirm } from "./dialog.js";
import { el, setChildren, setText } from "./dom.js";
import { GroupMentions } from "./group-mentions.js";
import { errorText, t } from "./i18n.js";
import { MAX_NAMES, nameOf, previewText } from "./message-bubble.js";
import { MessageComposer } from "./message-composer.js";
import { icon } from "./icon.js";
import { withDialogs } from "./later.js";
import { MessageList } from "./message-list.js";
import { MessageWindow } from "./message-window.js";
import { applyChange } from "./message-rows.js";
import { openMessageMenu } from "./message-menu.js";
import { isSystemMessage, namedUsers, systemText } from "./system-message.js";
import { showToast } from "./toast.js";
import { TypingIndicator } from "./typing-indicator.js";

/** Pages of history that are loaded to reach the first unread message. Of more, those around it are shown by themselves. */
const MAX_PAGES_TO_UNREAD = 4;
/** Of more new messages at once, as after a reconnection, a screen reader reads only the last ones. */
const MAX_READ_ALOUD = 5;

export class ConversationView {
  element;
  id;
  #app;
  #header;
  #list;
  #composer;
  #typing = new TypingIndicator();
  #liveRegion = el("p.visually-hidden", { role: "log", "aria-live": "polite" });
  #messages;
  #state;
  /** The messages around one that was searched for, while they are shown instead of the latest ones. */
  #window = null;
  /** An object for each place that the user has gone to, so that what arrives late for an earlier one is ignored. */
  #goal = null;
  #windowBar = el("div.window-bar");
  #unsubscribe;
  #isClosed = false;

  constructor(app, conversationId, state) {
    this.#app = app;
    this.id = conversationId;
    this.#state = state;
    this.#unsubscribe = app.socket.subscribe((event) => this.#onEvent(event));
    const actions = this.#actions();
    const { details } = this.#conversation;
    this.#header = new ConversationHeader(
      app.me,
      () => withDialogs(({ openSearch }) => openSearch(app, conversationId)),
      () => withDialogs(({ openConversationDetails }) => openConversationDetails(app, conversationId)),
      (opener) => openConversationMenu(opener, app, this.#conversation),
    );
    this.#list = new MessageList(actions);
    this.#list.element.classList.toggle("direct", details.kind === "direct");
    const mentions = new GroupMentions(app.api, app.me.id, () => this.#conversation.details);
    this.#composer = new MessageComposer(conversationId, conversationName(details, app.me.id), app, {
      nameOf: actions.nameOf,
      send: (content, replyTo, attachments) => this.#send(content, replyTo, attachments),
      edit: (message, content) => this.#try(() => app.socket.edit(conversationId, message.id, content)),
      typing: (active) => app.socket.typing(conversationId, active),
      lastOwnMessage: () => this.#lastOwnMessage(),
      // In a chat of two, the other is always meant.
      findMentions: details.kind === "group" ? (query, max) => mentions.find(query, max) : null,
    });
    this.element = el(
      "main.pane",
      { id: "content", "aria-label": t("nav.chats") },
      this.#header.element,
      this.#list.element,
      el("div.pane-footer", {}, this.#windowBar, this.#list.scrollButton, this.#typing.element, this.#composer.element),
      this.#liveRegion,
    );
    addDropped(this.element, (files) => this.#composer.addFiles(files));
  }

  close() {
    this.#isClosed = true;
    this.#app.socket.typing(this.id, false);
    this.#list.close();
    this.#unsubscribe();
    this.#composer.close();
  }

  /** Focus the composer. On a touch device focus the heading: the on-screen keyboard would cover the messages. */
  focus() {
    if (matchMedia("(hover: none)").matches) this.#header.focus();
    else this.#composer.focus();
  }

  /** Call once the first page of messages is loaded. `messageSeq`: the message to show, or null. */
  async onLoaded(messageSeq) {
    if (messageSeq !== null) await this.showMessage(messageSeq);
    if (!this.#goal) await this.#try(() => this.#loadUnread());
    if (!this.#isClosed) this.#list.onLoaded({ stay: this.#goal !== null });
  }

  /** Load what is before the first unread message, unless the user goes elsewhere meanwhile. */
  async #loadUnread() {
    const isMissing = () => !this.#goal && this.#list.firstUnread < this.#conversation.loadedFrom;
    for (let page = 0; page < MAX_PAGES_TO_UNREAD && isMissing(); page += 1) {
      await this.#app.store.loadOlder(this.id);
      const state = this.#app.getState();
      if (this.#isClosed || !state.conversations[this.id]) return;
      this.render(state);
    }
    if (isMissing()) await this.#openWindow(this.#list.firstUnread);
  }

  render(state) {
    const before = this.#conversation;
    this.#state = state;
    const { details, typing, messages } = this.#conversation;
    if (messages !== this.#messages) this.#loadProfiles(messages);
    this.#messages = messages;
    this.#app.profiles.load(Object.keys(typing));
    this.#header.render(details, state.presence);
    this.#composer.renderNames();
    this.#typing.render(typing, this.#profiles);
    this.#list.render(this.#shown, this.#profiles);
    this.#readAloud(before);
  }

  /**
   * Scroll to the message with this seq. If it is older than the loaded ones, show those around it by themselves. The link
   * may be to one from before the user joined, or that they have deleted for themselves: say so, and stay.
   */
  async showMessage(seq) {
    const isWanted = (message) => message.seq === seq;
    const goal = {};
    this.#goal = goal;
    let isLoaded = true;
    if (seq >= this.#conversation.loadedFrom) this.#closeWindow();
    else if (!this.#list.scrollToMessage(isWanted)) isLoaded = await this.#openWindow(seq);
    if (this.#goal !== goal || this.#isClosed || (isLoaded && this.#list.scrollToMessage(isWanted))) return;
    this.#goal = null;
    if (isLoaded) showToast(t("message.not_shown"));
  }

  /**
   * Show the messages around the one with this seq, if there is one, unless the user goes elsewhere meanwhile. Returns
   * whether they could be loaded.
   */
  async #openWindow(seq) {
    const goal = this.#goal;
    const around = new MessageWindow(this.#app.api, this.id);
    const isLoaded = await this.#try(async () => {
      await around.load(seq);
      return true;
    });
    if (isLoaded && this.#goal === goal && !this.#isClosed && around.has(seq)) {
      this.#window = around;
      this.#renderWindow();
    }
    return isLoaded;
  }

  /** Call when the window becomes visible or gets the focus. */
  reportSeen() {
    this.#list.reportSeen();
  }

  get #conversation() {
    return this.#state.conversations[this.id];
  }

  get #profiles() {
    return this.#state.people;
  }

  /** Load the profiles of those whose names the messages show. */
  #loadProfiles(messages) {
    for (const { sender_id, reactions, event } of messages) {
      this.#app.profiles.load(event ? namedUsers({ event }) : [sender_id]);
      for (const users of Object.values(reactions ?? {})) this.#app.profiles.load(users.slice(0, MAX_NAMES));
    }
  }

  /** Return the user's last message, with the text of an edit that is not stored yet. */
  #lastOwnMessage() {
    const { messages, changes = {} } = this.#conversation;
    const isOwn = ({ id, sender_id, deleted }) =>
      sender_id === this.#app.me.id && !deleted && changes[id]?.kind !== "delete";
    const message = messages.findLast((each) => isOwn(each) && !isSystemMessage(each));
    return message && applyChange(message, changes[message.id]);
  }

  /** Put the other participants' messages that are newer than `before` into the live region. */
  #readAloud(before) {
    const isNew = ({ seq, sender_id, deleted }) => seq > before.lastSeq && sender_id !== this.#app.me.id && !deleted;
    const newMessages = this.#conversation.messages.slice(-MAX_READ_ALOUD).filter(isNew);
    if (newMessages.length === 0) return;
    const toSpeech = (message) => {
      if (isSystemMessage(message)) return systemText(message, (id) => nameOf(this.#profiles[id]), this.#app.me.id);
      return t("conversation.new_message_from", {
        name: nameOf(this.#profiles[message.sender_id]),
        text: previewText(message),
      });
    };
    setText(this.#liveRegion, newMessages.map(toSpeech).join("\n"));
  }

  /** The conversation as it is shown: with its latest messages, or with those of the window. */
  get #shown() {
    return this.#window ? this.#window.shownIn(this.#conversation) : this.#conversation;
  }

  #renderWindow() {
    const shown = this.#shown;
    this.#loadProfiles(shown.messages);
    this.#list.render(shown, this.#profiles);
    const newer = () => this.#try(() => this.#loadInWindow("loadNewer"));
    const latest = () => {
      this.#closeWindow();
      this.#list.scrollToBottom();
    };
    setChildren(
      this.#windowBar,
      this.#window && [
        el("button.button", { type: "button", onclick: newer }, t("conversation.newer")),
        el("button.button", { type: "button", onclick: latest }, t("conversation.scroll_to_bottom"), icon("down")),
      ],
    );
  }

  /** `load`: "loadOlder" or "loadNewer". */
  async #loadInWindow(load) {
    const shown = this.#window;
    await shown[load]();
    if (shown !== this.#window) return;
    const last = shown.lastSeq;
    // Once the window reaches the latest messages, they continue it.
    if (last + 1 >= this.#conversation.loadedFrom) {
      this.#closeWindow();
      this.#list.scrollToMessage(({ seq }) => seq === Math.max(last, this.#conversation.loadedFrom));
    } else this.#renderWindow();
  }

  #closeWindow() {
    if (!this.#window) return;
    this.#window = null;
    this.#renderWindow();
  }

  #onEvent({ type, conversation_id, data }) {
    if (conversation_id !== this.id) return;
    if (type === "message_updated") {
      if (this.#window?.update(data)) this.#renderWindow();
      this.#composer.updateQuoted(data);
    }
    if (type === "history_cleared") this.#closeWindow();
  }

  #actions() {
    const { store, me } = this.#app;
    const actions = {
      me: me.id,
      isGroup: () => this.#conversation.details.kind === "group",
      nameOf: (userId) => (userId === me.id ? t("message.you") : nameOf(this.#profiles[userId])),
      reply: (message) => this.#composer.startReply(message),
      edit: (message) => this.#composer.startEdit(message),
      remove: (message) => this.#remove(message),
      copy: (message) => this.#copy(message),
      report: ({ id }) =>
        withDialogs(({ openReportDialog }) => openReportDialog(this.#app.api, { kind: "message", id })),
      showReaders: (message) => withDialogs(({ openReadersDialog }) => openReadersDialog(this.#app, message)),
      download: (attachmentId, part) => this.#app.api.attachment(attachmentId, part),
      toggleReaction: (message, emoji) => this.#toggleReaction(message, emoji),
      retry: (message) => this.#retry(message),
      discard: ({ nonce }) => store.dismiss(this.id, nonce),
      retryChange: (change) => this.#retryChange(change),
      discardChange: ({ message_id }) => store.dismissChange(this.id, message_id),
      goTo: (messageId) => this.#goTo(messageId),
      openMenu: (opener, row) => openMessageMenu(opener, row, actions),
      loadOlder: () => this.#try(() => (this.#window ? this.#loadInWindow("loadOlder") : store.loadOlder(this.id))),
      onAllSeen: () => this.#markRead(),
    };
    return actions;
  }

  /** `replyTo`: the message that it answers, or null. */
  #send(content, replyTo, attachments = []) {
    this.#goal = {};
    this.#closeWindow();
    this.#list.onOwnMessage();
    this.#app.socket.send(this.id, content, { replyTo: replyTo?.id ?? null, attachments }).catch((error) => {
      // Other errors are shown at the message itself.
      if (error.code !== "outbox_full") return;
      showToast(errorText(error));
      this.#composer.restore(content, replyTo, attachments);
    });
  }

  #retry({ nonce, content, reply_to, attachments }) {
    this.#app.store.dismiss(this.id, nonce);
    this.#send(content, reply_to && { id: reply_to }, attachments);
  }

  #retryChange({ kind, message_id, content }) {
    const { socket } = this.#app;
    this.#try(() => (kind === "edit" ? socket.edit(this.id, message_id, content) : socket.remove(this.id, message_id)));
  }

  #markRead() {
    if (!this.#window && !document.hidden && document.hasFocus()) this.#app.store.markRead(this.id);
  }

  #toggleReaction(message, emoji) {
    const { api, me } = this.#app;
    const reacted = message.reactions[emoji]?.includes(me.id);
    this.#try(() => (reacted ? api.unreact(this.id, message.id, emoji) : api.react(this.id, message.id, emoji)));
  }

  async #remove(message) {
    if (await confirm(t("message.delete.question"), t("message.delete"))) {
      await this.#try(() => this.#app.socket.remove(this.id, message.id));
    }
  }

  #copy({ content }) {
    return this.#try(async () => {
      await copyText(content);
      showToast(t("message.copied"));
    });
  }

  /** Scroll to a message, which may be older than what is loaded. */
  async #goTo(messageId) {
    if (this.#list.scrollToMessage(({ id }) => id === messageId)) return;
    await this.#try(async () => {
      try {
        await this.showMessage((await this.#app.api.message(this.id, messageId)).seq);
      } catch (error) {
        if (error.code !== "not_found") throw error;
        showToast(t("message.not_shown"));
      }
    });
  }

  /** Run `action`; if it rejects, show the error as a toast. */
  async #try(action) {
    try {
      return await action();
    } catch (error) {
      showToast(errorText(error));
    }
  }
}
