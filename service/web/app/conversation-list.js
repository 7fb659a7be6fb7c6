/** One's conversations, latest activity first. */

import { conversationAvatar, conversationName, otherOf } from "./conversation-name.js";
import { el, fill, KeyedList, set } from "./dom.js";
import { icon } from "./icon.js";
import { number, t } from "./i18n.js";
import { gist, nameOf } from "./message-bubble.js";
import { moreButton } from "./paging.js";
import { shortly } from "./time.js";
import { typingText } from "./typing-line.js";

export class ConversationList {
  element;
  #app;
  #filter;
  #rows;
  #none = el("div", { role: "status" });
  #more;
  #state;
  #items = new Map();
  #current = null;

  /** `startChat()`: choose people for a new one. */
  constructor(app, startChat) {
    this.#app = app;
    this.#filter = el("input.input", {
      type: "search",
      "aria-label": t("chats.filter"),
      placeholder: t("chats.filter"),
      oninput: () => this.#draw(),
    });
    const list = el("ul", { role: "list", "aria-label": t("chats.title") });
    this.#rows = new KeyedList(list, {
      key: ({ id }) => id,
      create: ({ id }) => row(id),
      update: (element, item) => this.#update(element.firstChild, item),
    });
    this.#more = moreButton(() => app.store.loadMoreConversations());
    const compose = el(
      "button.icon-button",
      { type: "button", title: t("chats.new"), "aria-label": t("chats.new"), onclick: startChat },
      icon("compose"),
    );
    this.element = el(
      "nav.conversations",
      { "aria-label": t("chats.title") },
      el("header", {}, el("h1", {}, t("chats.title")), compose),
      el("div.search", {}, icon("search"), this.#filter),
      el("div.scroll", {}, list, this.#none, this.#more.element),
    );
  }

  close() {
    this.#more.close();
  }

  /** `current`: the id of the one that is open, null where none is. */
  render(state, current) {
    this.#state = state;
    this.#current = current;
    this.#draw();
  }

  #draw() {
    const state = this.#state;
    const wanted = this.#filter.value.trim().toLocaleLowerCase();
    const all = state.conversationIds.map((id) => state.conversations[id]);
    const shown = wanted ? all.filter(({ details }) => this.#name(details).toLocaleLowerCase().includes(wanted)) : all;
    this.#rows.render(shown.map((conversation) => this.#item(conversation, state)));
    this.#more.hasMore(state.hasMoreConversations);
    fill(this.#none, shown.length === 0 && !state.hasMoreConversations && (wanted ? NO_MATCH() : NONE()));
  }

  #name(details) {
    return conversationName(details, this.#app.me.id);
  }

  /** What a row shows, and nothing else, so that it is drawn again only when that changes. */
  #item(conversation, state) {
    const { id, details, unreadCount, typing } = conversation;
    const other = otherOf(details, this.#app.me.id);
    const item = {
      id,
      details,
      unreadCount,
      last: conversation.pending.at(-1) ?? conversation.lastMessage,
      online: Boolean(other && state.presence[other.id]?.online),
      typing: typingText(typing, state.people),
      current: id === this.#current,
    };
    const known = this.#items.get(id);
    if (known && Object.keys(item).every((name) => known[name] === item[name])) return known;
    this.#items.set(id, item);
    return item;
  }

  #update(link, { details, unreadCount, last, online, typing, current }) {
    const { me } = this.#app;
    set(link, "aria-current", current ? "page" : null);
    link.classList.toggle("unread", unreadCount > 0);
    fill(
      link,
      el("span.with-dot", {}, conversationAvatar(details, me.id), online && el("span.dot")),
      el("span.name.line", {}, this.#name(details), online && el("span.unseen", {}, ` (${t("pane.online")})`)),
      last ? el("time", { datetime: last.created_at }, shortly(last.created_at)) : el("span"),
      el(typing ? "span.last.line.typing" : "span.last.line", {}, typing || this.#lastWords(details, last)),
      unreadCount > 0 &&
        el("span.badge", {}, number(unreadCount), el("span.unseen", {}, ` ${t("nav.unread", { count: unreadCount })}`)),
    );
  }

  #lastWords(details, last) {
    if (!last) return t("chats.empty");
    const text = gist(last);
    if (!last.sender_id || last.sender_id === this.#app.me.id) return t("chats.you_said", { text });
    if (details.kind === "direct") return text;
    return t("chats.someone_said", { name: nameOf(this.#state.people[last.sender_id]), text });
  }
}

function row(id) {
  return el("li", {}, el("a.conversation", { href: `#/c/${id}` }));
}

const NO_MATCH = () => el("p.empty", {}, t("chats.no_match"));
const NONE = () =>
  el("div.empty", {}, icon("chats"), el("p", {}, t("chats.none")), el("p.small", {}, t("chats.none.hint")));
