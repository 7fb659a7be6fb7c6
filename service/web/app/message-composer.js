/** The form for writing a message, replying to one, or editing one. */

import { addPasted, attachButtons } from "./attach-buttons.js";
import { CharacterCounter } from "./character-counter.js";
import { el, setChildren, setText } from "./dom.js";
import { chatDraftKey } from "./drafts.js";
import { emojiButton } from "./emoji-button.js";
import { autoGrow } from "./form.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { isComposing } from "./keyboard.js";
import { MentionSuggestions } from "./mention-suggestions.js";
import { previewText } from "./message-bubble.js";

/** Characters; the server's limit. */
const MAX_LENGTH = 4000;
/** Characters kept of a message that is replied to: its preview has one line. */
const MAX_QUOTED = 200;
const TOUCH = matchMedia("(hover: none)");

const EMPTY = { text: "", replyTo: null, editing: null, attachments: [] };

/**
 * Everything that is typed is kept as a draft: {text, replyTo, editing, attachments}. `text`, `replyTo` and `attachments`,
 * which have been uploaded, are the new message; `editing` is {message, text} while another one is edited.
 *
 * `actions`: {nameOf(userId), send(content, replyTo, attachments), edit(message, content), typing(active), lastOwnMessage(): the
 * message that ArrowUp in an empty field edits, findMentions(query, max), or null: see MentionSuggestions}.
 */
export class MessageComposer {
  element;
  #actions;
  #textarea;
  #suggestions;
  #sendButton;
  /** Shows the message that is being edited or replied to. */
  #context = el("div.context", { hidden: true });
  #contextTitle = el("strong", { dir: "auto" });
  #counter = new CharacterCounter(MAX_LENGTH);
  #tray;
  #leftTrays;
  #attachButtons;
  #draft;
  #drafts;
  #draftKey;
  #resize;

  /** `app`: see AppShell. */
  constructor(conversationId, name, { drafts, leftTrays }, actions) {
    this.#draftKey = chatDraftKey(conversationId);
    this.#drafts = drafts;
    this.#leftTrays = leftTrays;
    this.#actions = actions;
    this.#textarea = el("textarea", {
      rows: "1",
      dir: "auto",
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
    const add = (files) => this.addFiles(files);
    this.#draft = { ...EMPTY, ...drafts.get(this.#draftKey) };
    this.#tray = leftTrays.take(this.#draftKey, this.#draft.attachments);
    this.#draft.attachments = this.#tray.attachments;
    this.#tray.onChange = () => this.#onAttachments();
    this.#attachButtons = el("div.attach-buttons", {}, attachButtons(add));
    addPasted(this.#textarea, add);
    this.#suggestions = actions.findMentions && new MentionSuggestions(this.#textarea, actions.findMentions);
    this.element = el(
      "form.composer",
      { onsubmit: (event) => this.#onSubmit(event) },
      this.#context,
      this.#tray.element,
      this.#suggestions?.element,
      el("div.input-row", {}, this.#textarea, emojiButton(this.#textarea), this.#attachButtons, this.#sendButton),
      this.#counter.element,
    );
    this.#resize = autoGrow(this.#textarea);
    this.#render();
  }

  focus() {
    this.#textarea.focus({ preventScroll: true });
  }

  /** Uploads go on, and are added to the draft. */
  close() {
    this.#leftTrays.leave(this.#draftKey, this.#tray);
  }

  /** Attach files to the new message. */
  addFiles(files) {
    if (this.#draft.editing) this.#set({ editing: null });
    this.#tray.add(files);
    this.focus();
  }

  #onAttachments() {
    this.#draft = { ...this.#draft, attachments: this.#tray.attachments };
    this.#save();
    this.#update();
  }

  /** Call when names may have changed. */
  renderNames() {
    const { editing, replyTo } = this.#draft;
    if (editing) setText(this.#contextTitle, t("composer.editing"));
    else if (replyTo) {
      setText(this.#contextTitle, t("composer.replying", { name: this.#actions.nameOf(replyTo.sender_id) }));
    }
  }

  startReply(message) {
    this.#set({ editing: null, replyTo: quotable(message) });
    this.focus();
  }

  /** Take the changed text of the message that is replied to. */
  updateQuoted(message) {
    const { replyTo } = this.#draft;
    if (replyTo?.id !== message.id) return;
    this.#draft = { ...this.#draft, replyTo: quotable(message) };
    this.#save();
    if (!this.#draft.editing) this.#renderContext(this.#draft.replyTo);
  }

  startEdit({ id, sender_id, content, attachments }) {
    this.#set({ editing: { message: { id, sender_id, content, attachments }, text: content } });
    this.focus();
  }

  /** Put back a message that could not be sent, unless the user has begun another. */
  restore(content, replyTo, attachments) {
    if (this.#draft.text || this.#draft.attachments.length) return;
    this.#tray.restore(attachments);
    this.#set({ text: content, replyTo, attachments });
  }

  #set(changes) {
    this.#draft = { ...this.#draft, ...changes };
    this.#save();
    this.#render();
  }

  #save() {
    const { text, replyTo, editing, attachments } = this.#draft;
    this.#drafts.set(this.#draftKey, text || replyTo || editing || attachments.length ? this.#draft : null);
  }

  #render() {
    const { text, replyTo, editing } = this.#draft;
    this.#renderContext(editing?.message ?? replyTo);
    this.#textarea.value = editing ? editing.text : text;
    this.#attachButtons.hidden = Boolean(editing);
    this.#tray.element.classList.toggle("visually-hidden", Boolean(editing));
    this.#update();
    // The height can only be measured once the element is in the document.
    queueMicrotask(this.#resize);
  }

  #renderContext(message) {
    this.#context.hidden = !message;
    if (!message) return;
    this.renderNames();
    setChildren(
      this.#context,
      icon(this.#draft.editing ? "edit" : "reply"),
      el("div.quoted", {}, this.#contextTitle, el("p.ellipsis.muted", { dir: "auto" }, previewText(message))),
      el(
        "button.icon-button",
        { type: "button", "aria-label": t("cancel"), onclick: () => this.#cancel() },
        icon("close"),
      ),
    );
  }

  /** End editing, which shows the draft of the new message again; else end replying. */
  #cancel() {
    this.#set(this.#draft.editing ? { editing: null } : { replyTo: null });
    this.focus();
  }

  #onInput() {
    const text = this.#textarea.value;
    const { editing } = this.#draft;
    this.#draft = { ...this.#draft, ...(editing ? { editing: { ...editing, text } } : { text }) };
    this.#save();
    if (!editing) this.#actions.typing(text.trim() !== "");
    this.#update();
  }

  #update() {
    const { editing, attachments } = this.#draft;
    const fits = this.#counter.update(this.#textarea.value);
    const empty = this.#textarea.value.trim() === "";
    const attached = editing ? editing.message.attachments?.length : attachments.length;
    this.#sendButton.disabled = !(fits || (empty && attached)) || !(editing || this.#tray.isReady);
  }

  #onKeyDown(event) {
    if (isComposing(event) || this.#suggestions?.onKeyDown(event)) return;
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
    if (this.#sendButton.disabled) return;
    const content = this.#textarea.value.trim();
    const { editing, replyTo, attachments } = this.#draft;
    if (editing) {
      this.#set({ editing: null });
      if (content !== editing.message.content) this.#actions.edit(editing.message, content);
    } else {
      this.#tray.restore([]);
      this.#set(EMPTY);
      this.#actions.send(content, replyTo, attachments);
    }
    this.focus();
  }
}

/** Return what the composer and the draft need of a message that is replied to. */
function quotable({ id, sender_id, content, attachments, deleted }) {
  return { id, sender_id, content: [...content].slice(0, MAX_QUOTED).join(""), attachments, deleted };
}
