/** Where one writes a message, answers one, or changes one. */

import { el, fill, set, setText } from "./dom.js";
import { growing } from "./form.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { gist } from "./message-bubble.js";

const MAX = 4000;
const NEAR_MAX = 200;
/** Characters left from which on it is worth saying how many. */
const TOUCH = matchMedia("(hover: none)");

/**
 * `drafts`: what was begun and not sent, by conversation. `actions`: {nameOf(userId), send(content, replyTo), edit(message, content), typing(), lastOwn(): the message that
 * ArrowUp in an empty field changes}.
 */
export class Composer {
  element;
  #actions;
  #text;
  #button;
  #about = el("div.about", { hidden: true });
  #count = el("p.count.small.muted", { role: "status", hidden: true });
  #replyTo = null;
  #editing = null;
  #id;
  #drafts;
  #grow;

  constructor(conversationId, name, drafts, actions) {
    this.#id = conversationId;
    this.#drafts = drafts;
    this.#actions = actions;
    this.#text = el("textarea", {
      rows: "1",
      "aria-label": t("composer.label", { name }),
      placeholder: t("composer.placeholder"),
      enterkeyhint: TOUCH.matches ? "enter" : "send",
      oninput: () => this.#onInput(),
      onkeydown: (event) => this.#onKey(event),
    });
    this.#text.className = "input";
    this.#button = el("button.icon-button.send", { type: "submit", "aria-label": t("composer.send") }, icon("send"));
    this.element = el(
      "form.composer",
      { onsubmit: (event) => this.#onSubmit(event) },
      this.#about,
      el("div.box", {}, this.#text, this.#button),
      this.#count,
    );
    this.#grow = growing(this.#text);
    this.#set(this.#drafts.get(conversationId) ?? "");
  }

  focus() {
    this.#text.focus({ preventScroll: true });
  }

  reply(message) {
    this.#stop();
    this.#replyTo = message;
    this.#showAbout(t("composer.replying", { name: this.#actions.nameOf(message.sender_id) }), message);
    this.focus();
  }

  edit(message) {
    this.#stop();
    this.#editing = message;
    this.#showAbout(t("composer.editing"), message);
    this.#set(message.content);
    this.focus();
  }

  #showAbout(title, message) {
    fill(
      this.#about,
      icon(this.#editing ? "edit" : "reply"),
      el("div.quoted", {}, el("strong", {}, title), el("p.line.muted", {}, gist(message))),
      el(
        "button.icon-button",
        { type: "button", "aria-label": t("cancel"), onclick: () => this.#cancel() },
        icon("close"),
      ),
    );
    this.#about.hidden = false;
  }

  #cancel() {
    this.#stop();
    this.focus();
  }

  /** Neither an answer nor a change any longer; what was written before a change is there again. */
  #stop() {
    const wasEditing = this.#editing;
    this.#editing = null;
    this.#replyTo = null;
    this.#about.hidden = true;
    if (wasEditing) this.#set(this.#drafts.get(this.#id) ?? "");
  }

  #set(text) {
    this.#text.value = text;
    this.#update();
    // It has a height only in the page.
    queueMicrotask(this.#grow);
  }

  #onInput() {
    if (!this.#editing) {
      this.#drafts.set(this.#id, this.#text.value);
      if (this.#text.value.trim()) this.#actions.typing();
    }
    this.#update();
  }

  #update() {
    // As the server counts: characters, not the halves of which an emoji has two.
    const left = MAX - [...this.#text.value.trim()].length;
    this.#button.disabled = left === MAX || left < 0;
    set(this.#count, "hidden", left > NEAR_MAX);
    this.#count.classList.toggle("problem", left < 0);
    if (left <= NEAR_MAX) {
      setText(this.#count, left < 0 ? t("composer.too_long", { count: -left }) : t("composer.left", { count: left }));
    }
  }

  #onKey(event) {
    // Enter that ends the composing of a syllable, as in Vietnamese, sends nothing.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !TOUCH.matches) {
      event.preventDefault();
      this.element.requestSubmit();
    } else if (event.key === "Escape" && !this.#about.hidden) {
      event.preventDefault();
      this.#cancel();
    } else if (event.key === "ArrowUp" && this.#text.value === "") {
      const message = this.#actions.lastOwn();
      if (!message) return;
      event.preventDefault();
      this.edit(message);
    }
  }

  #onSubmit(event) {
    event.preventDefault();
    const content = this.#text.value.trim();
    if (this.#button.disabled) return;
    const [editing, replyTo] = [this.#editing, this.#replyTo];
    if (editing) {
      this.#stop();
      if (content !== editing.content) this.#actions.edit(editing, content);
    } else {
      this.#drafts.delete(this.#id);
      this.#stop();
      this.#set("");
      this.#actions.send(content, replyTo?.id ?? null);
    }
    this.focus();
  }
}
