/** Forms: labelled fields with an error message each, and one submission at a time. */

import { whileBusy } from "./busy-button.js";
import { el, setAttr, setText } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { isComposing } from "./keyboard.js";

let fieldCount = 0;

/** What the server alone refuses about the value of a field. */
const COMMON_PASSWORD = { password: "refused.common_password", new_password: "refused.common_password" };

/** A labelled input of a stored value. Its error message is `invalid.<name>`. */
export class Field {
  element;
  input;
  name;
  #stored;
  #isValid;
  #error;

  /** `isValid(value)`: checked before submission. `hint`: a message key. `attributes`: of the input. */
  constructor(name, isValid, { hint = null, ...attributes } = {}) {
    this.name = name;
    this.#stored = attributes.value ?? "";
    this.#isValid = isValid;
    const id = `field-${(fieldCount += 1)}`;
    this.#error = el("p.error", { id: `${id}-error` });
    this.input = el("input.input", {
      id,
      name,
      "aria-describedby": `${id}-hint ${id}-error`,
      autocapitalize: "none",
      dir: "auto",
      oninput: () => this.setError(""),
      ...attributes,
    });
    this.element = el(
      "div.field",
      {},
      el("label", { for: id }, t(`field.${name}`)),
      this.input,
      el("p.hint", { id: `${id}-hint`, hidden: !hint }, hint && t(hint)),
      this.#error,
    );
  }

  get value() {
    return this.input.value;
  }

  /** Whether the user has changed the stored value. */
  get isChanged() {
    return this.value !== this.#stored;
  }

  /** Show a value that is stored now, unless the user has changed the field meanwhile. */
  update(stored) {
    if (!this.isChanged) this.input.value = stored;
    this.#stored = stored;
  }

  /** Show an error message at the field; an empty one clears it. */
  setError(message) {
    setText(this.#error, message);
    setAttr(this.input, "aria-invalid", message ? "true" : null);
  }

  /** Return whether the value is valid, and show or clear the error message. */
  validate() {
    const valid = this.#isValid(this.value);
    this.setError(valid ? "" : t(`invalid.${this.name}`));
    return valid;
  }
}

/**
 * Create a form of `fields`. `submit(values)` returns a promise; if it rejects, the form shows the error and keeps the
 * values. `children` are placed between the fields and the button.
 */
export function createForm(fields, submitLabel, submit, children = []) {
  const errorLine = el("p.error", { role: "alert" });
  const button = el("button.button.primary", { type: "submit" }, submitLabel);

  async function onSubmit(event) {
    event.preventDefault();
    setText(errorLine, "");
    const invalid = fields.filter((field) => !field.validate());
    if (invalid.length > 0) {
      invalid[0].input.focus();
      return;
    }
    const values = Object.fromEntries(fields.map((field) => [field.name, field.value]));
    await whileBusy(button, () => submit(values)).catch(showError);
  }

  function onKeyDown(event) {
    if (event.key === "Enter" && isComposing(event)) event.preventDefault();
  }

  /** Show an error at the fields that it names; if it names none, above the button. */
  function showError(error) {
    const invalid = (error.errors ?? [])
      .map((fieldError) => fields.find((field) => field.name === fieldError.field))
      .filter(Boolean);
    for (const field of invalid) field.setError(t(COMMON_PASSWORD[field.name] ?? `invalid.${field.name}`));
    if (invalid.length > 0) invalid[0].input.focus();
    else setText(errorLine, errorText(error));
  }

  return el(
    "form.form",
    { novalidate: true, onsubmit: onSubmit, onkeydown: onKeyDown },
    fields.map((field) => field.element),
    children,
    errorLine,
    button,
  );
}

/** Keep a textarea as high as its text, up to its CSS `max-height`. Returns a function that updates the height. */
export function autoGrow(textarea) {
  const resize = () => {
    textarea.style.height = "auto";
    textarea.style.height = `${textarea.scrollHeight + textarea.offsetHeight - textarea.clientHeight}px`;
  };
  textarea.addEventListener("input", resize);
  return resize;
}

/** Return `input` with its label, for an input that is saved when it changes. */
export function labelled(key, input) {
  return el("label.field", {}, el("span", {}, t(key)), input);
}
