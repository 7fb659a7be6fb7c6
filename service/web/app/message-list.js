/** The scrolling list of messages: it follows new messages at the bottom and loads older ones near the top. */

import { el, KeyedList, setChildren, setText } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { createMessageElement, updateMessageElement } from "./message-bubble.js";
import { MessageRows } from "./message-rows.js";
import { ScrollAnchor } from "./scroll-anchor.js";
import { isSystemMessage, systemText } from "./system-message.js";
import { dayLabel, shortDateTime, timeElement } from "./time-format.js";

/** Older messages are loaded when their end is this close above the viewport, before the reader gets there. */
const PRELOAD_MARGIN = "600px";

/**
 * `actions`: {me, isGroup(), nameOf(userId), reply(message), edit(message), remove(message), copy(message),
 * showReaders(message), toggleReaction(message, emoji), retry(message), discard(message), retryChange(change), discardChange(change),
 * goTo(messageId), openMenu(opener, row), loadOlder(): Promise, onAllSeen(): the last message is in view}.
 */
export class MessageList {
  element;
  /** The button that scrolls to the latest messages, and shows how many are new. */
  scrollButton;
  #actions;
  #rows;
  #list;
  #keyedList;
  #anchor;
  #historyStart;
  #historyObserver;
  /** The unread divider stands after the message with this `seq`; null for none. */
  #unreadAfter = null;
  #loaded = false;
  #newCount = 0;
  /** The one message with tabindex 0. */
  #tabStop = null;
  #rendered = null;

  constructor(actions) {
    this.#actions = actions;
    this.#rows = new MessageRows(actions.me);
    this.#historyStart = el("div.history-start.muted.small");
    this.#list = el("ol", {
      role: "list",
      "aria-label": t("conversation.messages"),
      onkeydown: (event) => this.#onKeyDown(event),
    });
    this.element = el("div.messages.scroll", {}, this.#historyStart, this.#list);
    this.scrollButton = el("div.scroll-to-bottom");
    this.#keyedList = new KeyedList(this.#list, {
      key: (row) => row.key,
      create: (row) => this.#createRow(row),
      update: (element, row, previous) => {
        if (row.kind === "message") updateMessageElement(element, row, previous, actions);
        if (row.kind === "system") setText(element, systemText(row.message, actions.nameOf, actions.me));
      },
    });
    // The label of the first day moves away from the message below it when earlier ones of that day are loaded.
    const isAnchor = (row) => !row.matches(".day");
    this.#anchor = new ScrollAnchor(this.element, this.#list, () => this.#onScroll(), isAnchor);
    this.#historyObserver = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#loadOlder(), {
      root: this.element,
      rootMargin: `${PRELOAD_MARGIN} 0px 0px`,
    });
  }

  close() {
    this.#anchor.close();
    this.#historyObserver.disconnect();
  }

  /** Show the conversation's current state. `profiles`: by user id. */
  render(conversation, profiles) {
    if (conversation === this.#rendered?.conversation && profiles === this.#rendered.profiles) return;
    if (!this.#loaded) this.#unreadAfter = lastReadSeq(conversation, this.#actions.me);
    this.#countNew(conversation);
    this.#rendered = { conversation, profiles };
    this.#anchor.preserve(() => {
      this.#keyedList.render(this.#rows.build(conversation, profiles, this.#unreadAfter));
      setChildren(this.#historyStart, conversation.hasOlder ? t("loading") : t("conversation.start"));
    });
    this.#updateTabStop();
    this.#onScroll();
  }

  /** The `seq` of the message below the unread divider; Infinity if there is none. */
  get firstUnread() {
    return this.#unreadAfter === null ? Infinity : this.#unreadAfter + 1;
  }

  /**
   * Call once the messages to begin with are loaded: scrolls to the unread divider if the unread messages do not fit
   * into the viewport, else to the bottom; not at all to `stay` where a message was scrolled to.
   */
  onLoaded({ stay = false } = {}) {
    this.#loaded = true;
    if (!stay) this.#scrollToUnread();
    this.#historyObserver.observe(this.#historyStart);
    this.#onScroll();
  }

  #scrollToUnread() {
    this.#anchor.scrollToBottom();
    const divider = this.#keyedList.element("unread");
    if (divider && divider.getBoundingClientRect().top < this.element.getBoundingClientRect().top) {
      this.#anchor.scrollTo(divider, "start");
    }
  }

  scrollToBottom() {
    this.#anchor.scrollToBottom();
  }

  /** Call when the user sends a message: removes the unread divider and scrolls to the bottom. */
  onOwnMessage() {
    this.#unreadAfter = null;
    this.#anchor.scrollToBottom();
  }

  /** Scroll to the message for which `isWanted(message)` is true, and highlight it; returns false if there is none. */
  scrollToMessage(isWanted) {
    const row = [...this.#list.children].find((element) => element.row && isWanted(element.row.message));
    if (!row) return false;
    this.#anchor.scrollTo(row, "center");
    row.classList.remove("highlighted");
    // Reading a layout property restarts the animation if the message was highlighted before.
    void row.offsetWidth;
    row.classList.add("highlighted");
    this.#focus(row);
    return true;
  }

  /** Call `actions.onAllSeen` if the last message is in view. */
  reportSeen() {
    if (this.#loaded && this.#anchor.atBottom) this.#actions.onAllSeen();
  }

  #createRow(row) {
    if (row.kind === "message") return createMessageElement(row, this.#actions);
    if (row.kind === "system") return el("li.system-message", { dir: "auto" });
    if (row.kind === "day") return el("li.day", {}, timeElement(row.date, dayLabel));
    const since = timeElement(row.date, (date) => t("conversation.unread_since", { when: shortDateTime(date) }));
    return el("li.unread-divider", {}, el("span", {}, since));
  }

  async #loadOlder() {
    if (!this.#rendered.conversation.hasOlder) return;
    await this.#actions.loadOlder();
    // The observer reports only changes: observe again, in case the element is still in view.
    this.#historyObserver.unobserve(this.#historyStart);
    this.#historyObserver.observe(this.#historyStart);
  }

  #countNew(conversation) {
    const lastSeq = this.#rendered?.conversation.lastSeq;
    if (!this.#loaded || this.#anchor.atBottom || lastSeq === undefined) return;
    const isNew = (message) =>
      message.seq > lastSeq && message.sender_id !== this.#actions.me && !isSystemMessage(message);
    this.#newCount += conversation.messages.slice(-(conversation.lastSeq - lastSeq) || Infinity).filter(isNew).length;
  }

  #onScroll() {
    if (this.#anchor.atBottom) this.#newCount = 0;
    this.reportSeen();
    const farFromBottom = !this.#anchor.atBottom && this.#anchor.distanceToBottom > this.element.clientHeight / 2;
    const count = this.#newCount > 0 ? this.#newCount : farFromBottom ? 0 : null;
    if (count === this.scrollButton.count) return;
    this.scrollButton.count = count;
    setChildren(this.scrollButton, count !== null && this.#createScrollButton(count));
  }

  #createScrollButton(count) {
    const label = count ? t("conversation.new_messages", { count }) : t("conversation.scroll_to_bottom");
    return el(
      count ? "button.button.new-messages" : "button.button",
      { type: "button", "aria-label": label, onclick: () => this.#anchor.scrollToBottom({ smooth: true }) },
      count > 0 && label,
      icon("down"),
    );
  }

  /** Roving tabindex: only the focused message, or else the latest, is in the tab order. */
  #updateTabStop() {
    const last = this.#lastMessage();
    if (last && !this.#list.contains(document.activeElement)) this.#setTabStop(last);
  }

  #lastMessage() {
    const last = this.#list.lastElementChild;
    return last && !last.row ? siblingMessage(last, "previous") : last;
  }

  #setTabStop(row) {
    if (row === this.#tabStop) return;
    if (this.#tabStop) this.#tabStop.tabIndex = -1;
    this.#tabStop = row;
    row.tabIndex = 0;
  }

  #focus(row) {
    this.#setTabStop(row);
    row.focus({ preventScroll: true });
  }

  #onKeyDown(event) {
    const row = event.target.closest("li.message");
    if (event.target !== row) return;
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const neighbour = siblingMessage(row, event.key === "ArrowUp" ? "previous" : "next");
      if (neighbour) {
        this.#focus(neighbour);
        neighbour.scrollIntoView({ block: "nearest" });
      }
    } else if (event.key === "End") {
      this.#anchor.scrollToBottom();
      this.#focus(this.#lastMessage());
    } else if (event.key === "Enter" || event.key === " ") {
      this.#actions.openMenu(row, row.row);
    } else {
      return;
    }
    event.preventDefault();
  }
}

/** `direction`: "previous" or "next". What is no message is skipped. */
function siblingMessage(row, direction) {
  let sibling = row[`${direction}ElementSibling`];
  while (sibling && !sibling.row) sibling = sibling[`${direction}ElementSibling`];
  return sibling;
}

/** Return the `seq` of the last message that the user has read; null if there are no unread messages. */
function lastReadSeq(conversation, me) {
  const read = conversation.reads[me] ?? conversation.details?.last_read_seq ?? 0;
  return conversation.unreadCount > 0 ? read : null;
}
