/** The list of the user's conversations, most recently active first. */

import { conversationAvatar, conversationName, isArchived, isMuted, otherParticipant } from "./conversation-labels.js";
import { el, KeyedList, setAttr, setChildren } from "./dom.js";
import { chatDraftKey } from "./drafts.js";
import { icon } from "./icon.js";
import { formatNumber, t } from "./i18n.js";
import { withDialogs } from "./later.js";
import { loadMoreButton } from "./load-more.js";
import { nameOf, previewText } from "./message-bubble.js";
import { applyChange } from "./message-rows.js";
import { namedUsers, systemText } from "./system-message.js";
import { searchable } from "./text.js";
import { shortDateTime, timeElement } from "./time-format.js";
import { typingText } from "./typing-indicator.js";

export class ConversationList {
  element;
  #app;
  #search;
  #rows;
  #emptyState = el("div", { role: "status" });
  #loadMore;
  #state;
  #items = new Map();
  #currentId = null;
  /** One element, which keeps the focus on its button when the list is rendered again. */
  #firstSteps;

  constructor(app, onNewChat) {
    this.#app = app;
    this.#firstSteps = firstSteps(onNewChat);
    this.#search = el("input.input", {
      type: "search",
      "aria-label": t("chats.search"),
      placeholder: t("chats.search"),
      dir: "auto",
      oninput: () => this.#render(),
    });
    const list = el("ul", { role: "list", "aria-label": t("chats.title") });
    this.#rows = new KeyedList(list, {
      key: ({ id }) => id,
      create: ({ id }) => createRow(id),
      update: (element, item) => this.#updateRow(element.firstChild, item),
    });
    this.#loadMore = loadMoreButton(() => app.store.loadMoreConversations());
    const newChat = el(
      "button.icon-button",
      { type: "button", title: t("chats.new"), "aria-label": t("chats.new"), onclick: onNewChat },
      icon("compose"),
    );
    this.element = el(
      "nav.conversations",
      { "aria-label": t("chats.title") },
      el("header", {}, el("h1", {}, t("chats.title")), switcherButton(app), searchButton(app), newChat),
      el("div.search", {}, icon("search"), this.#search),
      el("div.scroll", {}, list, this.#emptyState, this.#loadMore.element, archivedButton(app)),
    );
  }

  close() {
    this.#loadMore.close();
  }

  /** `currentId`: the id of the open conversation, or null. */
  render(state, currentId) {
    this.#state = state;
    this.#currentId = currentId;
    this.#render();
  }

  #render() {
    const state = this.#state;
    const query = searchable(this.#search.value.trim());
    const all = state.conversationIds.map((id) => state.conversations[id]).filter((each) => this.#isListed(each));
    const matches = query ? all.filter(({ details }) => searchable(this.#name(details)).includes(query)) : all;
    this.#rows.render(matches.map((conversation) => this.#item(conversation, state)));
    this.#loadMore.setHasMore(state.hasMoreConversations);
    const reason = matches.length === 0 && !state.hasMoreConversations && this.#reason(query);
    if (!reason || !this.#emptyState.contains(reason)) setChildren(this.#emptyState, reason);
  }

  /** Return why the list is empty. */
  #reason(query) {
    if (!this.#state.conversationsLoaded) return el("p.empty-state", {}, t("loading"));
    return query ? el("p.empty-state", {}, t("chats.no_match")) : this.#firstSteps;
  }

  /** A direct conversation that another user has opened, but not written in, is not listed, nor is an archived one. */
  #isListed(conversation) {
    const { id, details, lastSeq, pending } = conversation;
    if (isArchived(conversation) && pending.length === 0) return false;
    const isEmpty = details.kind === "direct" && lastSeq === 0 && pending.length === 0;
    return !isEmpty || details.owner_id === this.#app.me.id || id === this.#currentId;
  }

  #name(details) {
    return conversationName(details, this.#app.me.id);
  }

  /** Return what a row shows; the same object while that does not change, so that the row is not rendered again. */
  #item(conversation, state) {
    const { id, details, typing, changes = {} } = conversation;
    const other = otherParticipant(details, this.#app.me.id);
    const last = conversation.pending.at(-1) ?? conversation.lastMessage;
    const shown = last?.event ? namedUsers(last) : [last?.sender_id];
    if (details.kind === "group") this.#app.profiles.load([...shown, ...Object.keys(typing)]);
    const item = {
      id,
      details,
      unreadCount: conversation.unreadCount,
      last,
      change: changes[last?.id],
      text: last?.event ? systemText(last, (id) => nameOf(state.people[id]), this.#app.me.id) : null,
      sender: state.people[last?.sender_id],
      muted: isMuted(details),
      online: Boolean(other && state.presence[other.id]?.online),
      typing: typingText(typing, state.people),
      draft: id === this.#currentId ? "" : this.#draft(id),
      current: id === this.#currentId,
    };
    const known = this.#items.get(id);
    if (known && Object.keys(item).every((name) => known[name] === item[name])) return known;
    this.#items.set(id, item);
    return item;
  }

  #updateRow(link, { details, unreadCount, last, change, text, sender, muted, online, typing, draft, current }) {
    const { me } = this.#app;
    setAttr(link, "aria-current", current ? "page" : null);
    link.classList.toggle("unread", unreadCount > 0);
    setChildren(
      link,
      el("span.avatar-with-status", {}, conversationAvatar(details, me.id), online && el("span.online-dot")),
      el(
        "span.name.ellipsis",
        { dir: "auto" },
        this.#name(details),
        muted && [icon("muted"), el("span.visually-hidden", {}, ` (${t("conversation.muted")})`)],
        online && el("span.visually-hidden", {}, ` (${t("conversation.online")})`),
      ),
      last ? timeElement(last.created_at, shortDateTime) : el("span"),
      el(
        typing ? "span.preview.ellipsis.typing" : "span.preview.ellipsis",
        { dir: "auto" },
        typing || (draft && t("chats.draft", { text: draft })) || text || this.#preview(details, last && applyChange(last, change), sender),
      ),
      unreadCount > 0 &&
        el(
          "span.badge",
          {},
          formatNumber(unreadCount),
          el("span.visually-hidden", {}, ` ${t("nav.unread", { count: unreadCount })}`),
        ),
    );
  }

  /** Return what the user has begun to write in the chat. */
  #draft(id) {
    const { text = "", editing, attachments } = this.#app.drafts.get(chatDraftKey(id)) ?? {};
    return previewText({ content: editing?.text ?? text, attachments });
  }

  #preview(details, last, sender) {
    if (!last) return t("chats.empty");
    const text = previewText(last);
    if (!last.sender_id || last.sender_id === this.#app.me.id) return t("chats.you_said", { text });
    if (details.kind === "direct") return text;
    return t("chats.someone_said", { name: nameOf(sender), text });
  }
}

function switcherButton(app) {
  const label = t("switcher.title");
  const open = () => withDialogs(({ openQuickSwitcher }) => openQuickSwitcher(app));
  return el(
    "button.icon-button",
    { type: "button", title: label, "aria-label": label, "aria-keyshortcuts": "Control+K Meta+K", onclick: open },
    icon("go"),
  );
}

function searchButton(app) {
  const label = t("search.title");
  const open = () => withDialogs(({ openSearch }) => openSearch(app));
  return el("button.icon-button", { type: "button", title: label, "aria-label": label, onclick: open }, icon("search"));
}

function archivedButton(app) {
  const open = () => withDialogs(({ openArchivedDialog }) => openArchivedDialog(app));
  return el("button.button.archived", { type: "button", onclick: open }, icon("archive"), t("chats.archived"));
}

function createRow(id) {
  return el("li", {}, el("a.conversation", { href: `#/c/${id}` }));
}

/** What a user sees who has no conversation yet. */
function firstSteps(onNewChat) {
  return el(
    "div.empty-state",
    {},
    icon("chats"),
    el("p", {}, t("chats.none")),
    el("p.small", {}, t("chats.none.hint")),
    el("button.button.primary", { type: "button", onclick: onNewChat }, t("chats.start")),
  );
}
