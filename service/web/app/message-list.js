/** The list of messages: it follows at the bottom, keeps its place elsewhere, and loads what is older on the way up. */

import { el, fill, KeyedList } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { createMessage, updateMessage } from "./message-bubble.js";
import { MessageRows } from "./message-rows.js";
import { ScrollKeeper } from "./scroll-keeper.js";
import { dayName } from "./time.js";

const AHEAD = "600px";
/** How far above the window the older messages begin to be loaded: they are there before one sees that they were not. */

/**
 * `actions`: {me, isGroup(), nameOf(userId), reply(message), edit(message), remove(message), copy(message),
 * react(row, emoji), retry(message), discard(message), goTo(messageId), openMenu(opener, row), loadOlder(): Promise,
 * onSeen(): the reader has seen it all}.
 */
export class MessageList {
  element;
  pill;
  #actions;
  #rows;
  #list;
  #keyed;
  #keeper;
  #top;
  #topWatcher;
  #freshAfter = null;
  #opened = false;
  #newCount = 0;
  #inTabOrder = null;
  #conversation = null;

  constructor(actions) {
    this.#actions = actions;
    this.#rows = new MessageRows(actions.me);
    this.#top = el("div.beginning.muted.small");
    this.#list = el("ol", { role: "list", "aria-label": t("pane.messages"), onkeydown: (event) => this.#onKey(event) });
    this.element = el("div.messages.scroll", {}, this.#top, this.#list);
    this.pill = el("div.to-bottom");
    this.#keyed = new KeyedList(this.#list, {
      key: (row) => row.key,
      create: (row) => this.#create(row),
      update: (element, row, before) => row.kind === "message" && updateMessage(element, row, before, actions),
    });
    this.#keeper = new ScrollKeeper(this.element, this.#list, () => this.#onMove());
    this.#topWatcher = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#loadOlder(), {
      root: this.element,
      rootMargin: `${AHEAD} 0px 0px`,
    });
  }

  close() {
    this.#keeper.close();
    this.#topWatcher.disconnect();
  }

  /** Show the conversation as it is now. */
  render(conversation, people) {
    if (conversation === this.#conversation?.state && people === this.#conversation.people) return;
    if (!this.#opened) this.#freshAfter = freshAfter(conversation, this.#actions.me);
    this.#countNew(conversation);
    this.#conversation = { state: conversation, people };
    this.#keeper.keep(() => {
      this.#keyed.render(this.#rows.of(conversation, people, this.#freshAfter));
      fill(this.#top, conversation.hasOlder ? t("loading") : t("pane.beginning"));
    });
    this.#letOneBeFocused();
    this.#onMove();
  }

  /** The first messages are there: begin at what is new, if that fills more than the window, else at the end. */
  begin() {
    this.#opened = true;
    this.#keeper.toBottom();
    const fresh = this.#keyed.element("fresh");
    if (fresh && fresh.getBoundingClientRect().top < this.element.getBoundingClientRect().top) {
      this.#keeper.to(fresh, "start");
    }
    this.#topWatcher.observe(this.#top);
    this.#onMove();
  }

  /** One's own message has been written: what came before it is not new any longer, and it is looked at. */
  wrote() {
    this.#freshAfter = null;
    this.#keeper.toBottom();
  }

  /** Show a message and point it out; false if it is not loaded. */
  show(messageId) {
    const row = [...this.#list.children].find((element) => element.row?.message.id === messageId);
    if (!row) return false;
    this.#keeper.to(row, "center");
    row.classList.remove("found");
    // Read a layout value, so that the animation begins anew for a second look.
    void row.offsetWidth;
    row.classList.add("found");
    this.#focus(row);
    return true;
  }

  /** Tell whether everything has been seen. */
  noteSeen() {
    if (this.#opened && this.#keeper.follows) this.#actions.onSeen();
  }

  #create(row) {
    if (row.kind === "message") return createMessage(row, this.#actions);
    const text = row.kind === "day" ? dayName(row.date) : t("pane.fresh");
    return el(row.kind === "day" ? "li.day" : "li.fresh-line", {}, el("span", {}, text));
  }

  async #loadOlder() {
    if (!this.#conversation.state.hasOlder) return;
    await this.#actions.loadOlder();
    // It only speaks when it comes into view: ask again, in case it has never left.
    this.#topWatcher.unobserve(this.#top);
    this.#topWatcher.observe(this.#top);
  }

  #countNew(conversation) {
    const known = this.#conversation?.state.lastSeq;
    if (!this.#opened || this.#keeper.follows || known === undefined) return;
    const isNew = (message) => message.seq > known && message.sender_id !== this.#actions.me;
    this.#newCount += conversation.messages.slice(-(conversation.lastSeq - known) || Infinity).filter(isNew).length;
  }

  #onMove() {
    if (this.#keeper.follows) this.#newCount = 0;
    this.noteSeen();
    const far = !this.#keeper.follows && this.#keeper.below > this.element.clientHeight / 2;
    const shown = this.#newCount > 0 ? this.#newCount : far ? 0 : null;
    if (shown === this.pill.shown) return;
    this.pill.shown = shown;
    fill(this.pill, shown !== null && this.#pillButton(shown));
  }

  #pillButton(count) {
    const label = count ? t("pane.new_messages", { count }) : t("pane.to_bottom");
    return el(
      count ? "button.button.fresh" : "button.button",
      { type: "button", "aria-label": label, onclick: () => this.#keeper.toBottom({ smooth: true }) },
      count > 0 && label,
      icon("down"),
    );
  }

  /** Of all messages one is in the order of Tab: the one that has the focus, or the latest. */
  #letOneBeFocused() {
    const last = this.#list.lastElementChild;
    if (last?.row && !this.#list.contains(document.activeElement)) this.#letBeFocused(last);
  }

  #letBeFocused(row) {
    if (row === this.#inTabOrder) return;
    if (this.#inTabOrder) this.#inTabOrder.tabIndex = -1;
    this.#inTabOrder = row;
    row.tabIndex = 0;
  }

  #focus(row) {
    this.#letBeFocused(row);
    row.focus({ preventScroll: true });
  }

  #onKey(event) {
    const at = event.target.closest("li.message");
    if (event.target !== at) return;
    const next = { ArrowUp: () => sibling(at, "previous"), ArrowDown: () => sibling(at, "next") }[event.key];
    if (next) {
      const row = next();
      if (row) {
        this.#focus(row);
        row.scrollIntoView({ block: "nearest" });
      }
    } else if (event.key === "End") {
      this.#keeper.toBottom();
      this.#focus(this.#list.lastElementChild);
    } else if (event.key === "Enter" || event.key === " ") {
      this.#actions.openMenu(at, at.row);
    } else {
      return;
    }
    event.preventDefault();
  }
}

function sibling(row, way) {
  let next = row[`${way}ElementSibling`];
  while (next && !next.row) next = next[`${way}ElementSibling`];
  return next;
}

function freshAfter(conversation, me) {
  const read = conversation.reads[me] ?? conversation.details?.last_read_seq ?? 0;
  return conversation.unreadCount > 0 ? read : null;
}
