/** One conversation, open: who is in it, what was said, and where one writes. */

import { Composer } from "./composer.js";
import { confirm } from "./dialog.js";
import { openDetails } from "./conversation-details.js";
import { conversationAvatar, conversationName, conversationPresence } from "./conversation-name.js";
import { el, fill, setText } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { gist, nameOf } from "./message-bubble.js";
import { MessageList } from "./message-list.js";
import { openMessageMenu } from "./message-menu.js";
import { say } from "./toast.js";
import { TypingLine } from "./typing-line.js";

const REACH = 20;
/** Pages of history that going to a message replied to may load. */

export class ChatPane {
  element;
  id;
  #app;
  #list;
  #composer;
  #typing = new TypingLine();
  #heading = el("h2.line", { tabindex: "-1" });
  #presence = el("p.state.line");
  #portrait = el("span");
  #news = el("p.unseen", { role: "log", "aria-live": "polite" });
  #state;
  #details;
  #presenceKnown;

  constructor(app, conversationId, state) {
    this.#app = app;
    this.id = conversationId;
    this.#state = state;
    const actions = this.#actions();
    this.#list = new MessageList(actions);
    this.#list.element.classList.toggle("direct", !actions.isGroup());
    this.#composer = new Composer(conversationId, conversationName(this.#conversation.details, app.me.id), {
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
      el(
        "header",
        {},
        el("a.icon-button.back", { href: "#/", "aria-label": t("back") }, icon("back")),
        this.#portrait,
        el("div.grow", {}, this.#heading, this.#presence),
        el(
          "button.icon-button",
          {
            type: "button",
            "aria-label": t("pane.details"),
            title: t("pane.details"),
            onclick: () => this.#openDetails(),
          },
          icon("info"),
        ),
      ),
      this.#list.element,
      el("div.foot", {}, this.#list.pill, this.#typing.element, this.#composer.element),
      this.#news,
    );
  }

  get #conversation() {
    return this.#state.conversations[this.id];
  }

  close() {
    this.#list.close();
  }

  /** Where a keyboard goes on once it is open. On a phone the keyboard would hide what one has come to read. */
  focus() {
    if (matchMedia("(hover: none)").matches) this.#heading.focus();
    else this.#composer.focus();
  }

  /** The first messages are there. */
  begin() {
    this.#list.begin();
  }

  render(state) {
    const before = this.#conversation;
    this.#state = state;
    const { details, typing } = this.#conversation;
    this.#renderHead(details, state.presence);
    this.#typing.render(typing, state.people);
    this.#list.render(this.#conversation, state.people);
    if (before !== this.#conversation) this.#readOut(before);
  }

  /** The window has come back into view, or into focus. */
  noteSeen() {
    this.#list.noteSeen();
  }

  #renderHead(details, presence) {
    const { me } = this.#app;
    if (details !== this.#details) {
      this.#details = details;
      setText(this.#heading, conversationName(details, me.id));
      fill(this.#portrait, conversationAvatar(details, me.id));
    }
    if (presence !== this.#presenceKnown) {
      this.#presenceKnown = presence;
      setText(this.#presence, conversationPresence(details, me.id, presence));
    }
  }

  /** For a screen reader: what others have said since. */
  #readOut(before) {
    const isNew = ({ seq, sender_id, deleted }) => seq > before.lastSeq && sender_id !== this.#app.me.id && !deleted;
    const news = this.#conversation.messages.slice(-5).filter(isNew);
    if (news.length === 0) return;
    const name = ({ sender_id }) => nameOf(this.#state.people[sender_id]);
    setText(
      this.#news,
      news.map((message) => t("pane.arrived", { name: name(message), text: gist(message) })).join("\n"),
    );
  }

  #actions() {
    const { store, me } = this.#app;
    const nameOfUser = (id) => (id === me.id ? t("message.you") : nameOf(this.#state.people[id]));
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

  async #copy({ content }) {
    await this.#try(() => navigator.clipboard.writeText(content));
    say(t("message.copied"));
  }

  async #goTo(messageId) {
    for (let page = 0; page < REACH && !this.#list.show(messageId) && this.#conversation.hasOlder; page += 1) {
      await this.#app.store.loadOlder(this.id);
      this.render(this.#app.store.getSnapshot());
    }
  }

  #openDetails() {
    openDetails(this.#app, this.id);
  }

  async #try(act) {
    try {
      return await act();
    } catch (error) {
      say(errorText(error));
    }
  }
}
