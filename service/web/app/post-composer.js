/** The form for writing a post or a comment. */

import { addDropped, addPasted, attachButtons } from "./attach-buttons.js";
import { avatar } from "./avatar.js";
import { CharacterCounter } from "./character-counter.js";
import { el, setText } from "./dom.js";
import { emojiButton } from "./emoji-button.js";
import { autoGrow } from "./form.js";
import { errorText, t } from "./i18n.js";
import { isComposing } from "./keyboard.js";
import { MentionSuggestions, userSearch } from "./mention-suggestions.js";

/** Characters; the server's limit. */
const MAX_LENGTH = 4000;

/**
 * Return {element, focus(), close()}. `send(content, attachments)`, with ids, returns a promise; the text is cleared only
 * after it resolves. Until then it is kept in `drafts` under `draftKey`; without a draft, it is `initialText`. With
 * `onCancel`, the form has a cancel button, which also drops the draft. `withFiles`: whether it takes attachments. Call
 * `close()` when the form goes, unless it was sent or cancelled: uploads go on, and are added to the draft.
 */
export function postComposer({
  app: { api, me, drafts, leftTrays },
  draftKey,
  label,
  placeholder,
  submitLabel,
  initialText = "",
  withFiles = true,
  send,
  onCancel,
}) {
  const textarea = el("textarea.input", {
    rows: "1",
    dir: "auto",
    "aria-label": label,
    placeholder: placeholder ?? label,
    oninput: () => onInput(),
    onkeydown: (event) => onKeyDown(event),
  });
  textarea.value = drafts.get(draftKey) ?? initialText;
  const filesKey = `${draftKey}:files`;
  const tray = leftTrays.take(filesKey, drafts.get(filesKey) ?? []);
  tray.onChange = () => {
    drafts.set(filesKey, tray.attachments.length ? tray.attachments : null);
    updateButton();
  };
  const add = (files) => {
    tray.add(files);
    textarea.focus();
  };
  if (withFiles) addPasted(textarea, add);
  const suggestions = new MentionSuggestions(textarea, userSearch(api, me.id));
  const counter = new CharacterCounter(MAX_LENGTH);
  const errorLine = el("p.error.problem", { role: "alert" });
  const button = el("button.button.primary", { type: "submit" }, submitLabel);
  const resize = autoGrow(textarea);

  let sending = false;

  const updateButton = () => {
    const fits = counter.update(textarea.value) || (!textarea.value.trim() && tray.attachments.length > 0);
    button.disabled = !fits || !tray.isReady || sending;
  };
  const onInput = () => {
    drafts.set(draftKey, textarea.value || null);
    updateButton();
  };
  const cancel = () => {
    drafts.set(draftKey, null);
    tray.close();
    drafts.set(filesKey, null);
    onCancel();
  };
  const onKeyDown = (event) => {
    if (isComposing(event) || suggestions.onKeyDown(event)) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element.requestSubmit();
    // Only the button drops the draft: Escape is pressed by mistake too easily.
    if (event.key === "Escape" && onCancel) {
      close();
      onCancel();
    }
  };
  const onSubmit = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    const text = textarea.value;
    const { attachments } = tray;
    sending = true;
    updateButton();
    setText(errorLine, "");
    try {
      await send(
        text.trim(),
        attachments.map(({ id }) => id),
      );
      // What was added meanwhile stays, too.
      tray.remove(attachments);
      // What the user has typed meanwhile stays.
      if (drafts.get(draftKey) === text) drafts.set(draftKey, null);
      if (textarea.value === text) textarea.value = "";
      resize();
    } catch (error) {
      setText(errorLine, errorText(error));
    } finally {
      sending = false;
      updateButton();
    }
  };

  const element = el(
    "form.post-composer.writer",
    { onsubmit: onSubmit },
    avatar(me, "small"),
    textarea,
    suggestions.element,
    tray.element,
    el(
      "div.actions",
      {},
      el("div.attach-buttons", {}, emojiButton(textarea), withFiles && attachButtons(add)),
      errorLine,
      counter.element,
      onCancel && el("button.button.plain", { type: "button", onclick: cancel }, t("cancel")),
      button,
    ),
  );
  if (withFiles) addDropped(element, add);
  updateButton();
  // The height can only be measured once the element is in the document.
  queueMicrotask(resize);
  // What is being sent is taken from the tray, and from the draft, afterwards.
  const close = () => {
    if (!sending) leftTrays.leave(filesKey, tray);
  };
  return { element, focus: () => textarea.focus(), close };
}
