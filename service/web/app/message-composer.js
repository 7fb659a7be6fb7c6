/** The form for writing a message, replying to one, or editing one. */

import { el, setAttr, setChildren, setText } from "./dom.js";
import { autoGrow } from "./form.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { previewText } from "./message-bubble.js";

/** Characters; the server's limit. */
const MAX_LENGTH = 4000;
/** The number of characters left is shown from here on. */
const COUNTER_THRESHOLD = 200;
const TOUCH = matchMedia("(hover: none)");

/**
 * `drafts`: unsent texts by conversation id. `actions`: {nameOf(userId), send(content, replyTo), edit(message, content),
 * typing(), lastOwnMessage(): the message that ArrowUp in an empty field edits}.
 */
export class MessageComposer {
  element;
  #actions;
  #textarea;
  #sendButton;
  /** Shows the message that is being edited or replied to. */
  #context = el("div.context", { hidden: true });
  #counter = el("p.character-count.small.muted", { role: "status", hidden: true });
  #replyingTo = null;
  #editing = null;
  #conversationId;
  #drafts;
  #resize;

  constructor(conversationId, name, drafts, actions) {
    this.#conversationId = conversationId;
    this.#drafts = drafts;
    this.#actions = actions;
    this.#textarea = el("textarea", {
      rows: "1",
      "aria-label": t("composer.label", { name }),
      placeholder: t("composer.placeholder"),
      enterkeyhint: TOUCH.matches ? "enter" : "send",
      oninput: () => this.#onInput(),
      onkeydown: (event) => this.#onKeyDown(event),
    });
    this.#textarea.className = "input";
    this.#sendButton = el(
      "button.icon-button.send",
      { type: "submit", "aria-label": t("composer.send") },
      icon("send"),
    );
    this.element = el(
      "form.composer",
      { onsubmit: (event) => this.#onSubmit(event) },
      this.#context,
      el("div.input-row", {}, this.#textarea, this.#sendButton),
      this.#counter,
    );
    this.#resize = autoGrow(this.#textarea);
    this.#setText(this.#drafts.get(conversationId) ?? "");
  }

  focus() {
    this.#textarea.focus({ preventScroll: true });
  }

  startReply(message) {
    this.#reset();
    this.#replyingTo = message;
    this.#showContext(t("composer.replying", { name: this.#actions.nameOf(message.sender_id) }), message);
    this.focus();
  }

  startEdit(message) {
    this.#reset();
    this.#editing = message;
    this.#showContext(t("composer.editing"), message);
    this.#setText(message.content);
    this.focus();
  }

  #showContext(title, message) {
    setChildren(
      this.#context,
      icon(this.#editing ? "edit" : "reply"),
      el("div.quoted", {}, el("strong", {}, title), el("p.ellipsis.muted", {}, previewText(message))),
      el(
        "button.icon-button",
        { type: "button", "aria-label": t("cancel"), onclick: () => this.#cancel() },
        icon("close"),
      ),
    );
    this.#context.hidden = false;
  }

  #cancel() {
    this.#reset();
    this.focus();
  }

  /** End replying or editing; after editing, restore the draft. */
  #reset() {
    const wasEditing = this.#editing;
    this.#editing = null;
    this.#replyingTo = null;
    this.#context.hidden = true;
    if (wasEditing) this.#setText(this.#drafts.get(this.#conversationId) ?? "");
  }

  #setText(text) {
    this.#textarea.value = text;
    this.#update();
    // The height can only be measured once the element is in the document.
    queueMicrotask(this.#resize);
  }

  #onInput() {
    if (!this.#editing) {
      this.#drafts.set(this.#conversationId, this.#textarea.value);
      if (this.#textarea.value.trim()) this.#actions.typing();
    }
    this.#update();
  }

  #update() {
    // The server counts code points; `length` would count UTF-16 units, of which an emoji has two.
    const left = MAX_LENGTH - [...this.#textarea.value.trim()].length;
    this.#sendButton.disabled = left === MAX_LENGTH || left < 0;
    setAttr(this.#counter, "hidden", left > COUNTER_THRESHOLD);
    this.#counter.classList.toggle("error", left < 0);
    if (left <= COUNTER_THRESHOLD) {
      const text = left < 0 ? t("composer.too_long", { count: -left }) : t("composer.left", { count: left });
      setText(this.#counter, text);
    }
  }

  #onKeyDown(event) {
    // With an input method, as for Vietnamese, Enter confirms the syllable and must not send.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !TOUCH.matches) {
      event.preventDefault();
      this.element.requestSubmit();
    } else if (event.key === "Escape" && !this.#context.hidden) {
      event.preventDefault();
      this.#cancel();
    } else if (event.key === "ArrowUp" && this.#textarea.value === "") {
      const message = this.#actions.lastOwnMessage();
      if (!message) return;
      event.preventDefault();
      this.startEdit(message);
    }
  }

  #onSubmit(event) {
    event.preventDefault();
    const content = this.#textarea.value.trim();
    if (this.#sendButton.disabled) return;
    const [editing, replyingTo] = [this.#editing, this.#replyingTo];
    if (editing) {
      this.#reset();
      if (content !== editing.content) this.#actions.edit(editing, content);
    } else {
      this.#drafts.delete(this.#conversationId);
      this.#reset();
      this.#setText("");
      this.#actions.send(content, replyingTo?.id ?? null);
    }
    this.focus();
  }
}
