/** One conversation, open: who is in it, what was said, and where one writes. */

import { Composer } from "./composer.js";
import { openDetails } from "./conversation-details.js";
import { conversationName } from "./conversation-name.js";
import { confirm } from "./dialog.js";
import { el, setText } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { gist, nameOf } from "./message-bubble.js";
import { MessageList } from "./message-list.js";
import { openMessageMenu } from "./message-menu.js";
import { PaneHeader } from "./pane-header.js";
import { Strangers } from "./strangers.js";
import { say } from "./toast.js";
import { TypingLine } from "./typing-line.js";

const REACH = 20;
/** Pages of history that going to a message replied to may load. */
const READ_OUT = 5;
/** New messages at once of which a screen reader reads each; of more, as after a break, the last. */

export class ChatPane {
  element;
  id;
  #app;
  #header;
  #list;
  #composer;
  #typing = new TypingLine();
  #news = el("p.unseen", { role: "log", "aria-live": "polite" });
  #strangers;
  #messages;
  #state;

  constructor(app, conversationId, state) {
    this.#app = app;
    this.id = conversationId;
    this.#state = state;
    this.#strangers = new Strangers(app.api, () => this.render(this.#state));
    const actions = this.#actions();
    const { details } = this.#conversation;
    this.#header = new PaneHeader(app.me, () => openDetails(app, conversationId));
    this.#list = new MessageList(actions);
    this.#list.element.classList.toggle("direct", details.kind === "direct");
    this.#composer = new Composer(conversationId, conversationName(details, app.me.id), app.drafts, {
      nameOf: actions.nameOf,
      send: (content, replyTo) => this.#send(content, replyTo),
      edit: (message, content) => this.#try(() => app.api.editMessage(conversationId, message.id, content)),
      typing: () => app.socket.typing(conversationId),
      lastOwn: () =>
        this.#conversation.messages.findLast(({ sender_id, deleted }) => sender_id === app.me.id && !deleted),
    });
    this.element = el(
      "main.pane",
      { id: "content", "aria-label": t("nav.chats") },
      this.#header.element,
      this.#list.element,
      el("div.foot", {}, this.#list.pill, this.#typing.element, this.#composer.element),
      this.#news,
    );
  }

  close() {
    this.#list.close();
  }

  /** Where a keyboard goes on once it is open. On a phone the keyboard would hide what one has come to read. */
  focus() {
    if (matchMedia("(hover: none)").matches) this.#header.focus();
    else this.#composer.focus();
  }

  /** The first messages are there. */
  begin() {
    this.#list.begin();
  }

  render(state) {
    const before = this.#conversation;
    this.#state = state;
    const { details, typing, messages } = this.#conversation;
    if (messages !== this.#messages) this.#strangers.meet(messages, state.people);
    this.#messages = messages;
    this.#header.render(details, state.presence);
    this.#typing.render(typing, this.#people);
    this.#list.render(this.#conversation, this.#people);
    this.#readOut(before);
  }

  /** The window has come back into view, or into focus. */
  noteSeen() {
    this.#list.noteSeen();
  }

  get #conversation() {
    return this.#state.conversations[this.id];
  }

  get #people() {
    return this.#strangers.with(this.#state.people);
  }

  /** For a screen reader: what others have said since. */
  #readOut(before) {
    const isNew = ({ seq, sender_id, deleted }) => seq > before.lastSeq && sender_id !== this.#app.me.id && !deleted;
    const news = this.#conversation.messages.slice(-READ_OUT).filter(isNew);
    if (news.length === 0) return;
    const spoken = (message) =>
      t("pane.arrived", { name: nameOf(this.#people[message.sender_id]), text: gist(message) });
    setText(this.#news, news.map(spoken).join("\n"));
  }

  #actions() {
    const { store, me } = this.#app;
    const nameOfUser = (id) => (id === me.id ? t("message.you") : nameOf(this.#people[id]));
    const actions = {
      me: me.id,
      isGroup: () => this.#conversation.details.kind === "group",
      nameOf: nameOfUser,
      reply: (message) => this.#composer.reply(message),
      edit: (message) => this.#composer.edit(message),
      remove: (message) => this.#remove(message),
      copy: (message) => this.#copy(message),
      react: ({ message }, emoji) => this.#react(message, emoji),
      retry: (message) => this.#retry(message),
      discard: ({ nonce }) => store.dismiss(this.id, nonce),
      goTo: (messageId) => this.#goTo(messageId),
      openMenu: (opener, row) => openMessageMenu(opener, row, actions),
      loadOlder: () => this.#try(() => store.loadOlder(this.id)),
      onSeen: () => this.#read(),
    };
    return actions;
  }

  #send(content, replyTo) {
    this.#list.wrote();
    // That it was refused is shown at the message itself.
    this.#app.socket
      .send(this.id, content, { replyTo })
      .catch((error) => error.code === "outbox_full" && say(errorText(error)));
  }

  #retry({ nonce, content, reply_to }) {
    this.#app.store.dismiss(this.id, nonce);
    this.#send(content, reply_to);
  }

  #read() {
    if (!document.hidden && document.hasFocus()) this.#app.store.markRead(this.id);
  }

  #react(message, emoji) {
    const { api, me } = this.#app;
    const has = message.reactions[emoji]?.includes(me.id);
    this.#try(() => (has ? api.unreact(this.id, message.id, emoji) : api.react(this.id, message.id, emoji)));
  }

  async #remove(message) {
    if (await confirm(t("message.delete.question"), t("message.delete"))) {
      await this.#try(() => this.#app.api.deleteMessage(this.id, message.id));
    }
  }

  #copy({ content }) {
    return this.#try(async () => {
      await navigator.clipboard.writeText(content);
      say(t("message.copied"));
    });
  }

  async #goTo(messageId) {
    for (let page = 0; page < REACH && !this.#list.show(messageId) && this.#conversation.hasOlder; page += 1) {
      await this.#app.store.loadOlder(this.id);
      this.render(this.#app.store.getSnapshot());
    }
  }

  async #try(act) {
    try {
      return await act();
    } catch (error) {
      say(errorText(error));
    }
  }
}
