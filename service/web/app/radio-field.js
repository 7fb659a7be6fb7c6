/** A group of radio buttons in a form; see `createForm`. */

import { el, setAttr, setText } from "./dom.js";
import { t } from "./i18n.js";

export class RadioField {
  element;
  name;
  #inputs;
  #error;

  /** `options`: [{value, label}]; none is chosen at first. Its label is `field.<name>`, its error `invalid.<name>`. */
  constructor(name, options) {
    this.name = name;
    this.#inputs = options.map(({ value }) =>
      el("input", { type: "radio", name, value, onchange: () => this.setError("") }),
    );
    this.#error = el("p.error", { id: `${name}-error` });
    this.element = el(
      "fieldset.field",
      { role: "radiogroup", "aria-required": "true", "aria-describedby": this.#error.id },
      el("legend", {}, t(`field.${name}`)),
      options.map(({ label }, index) => el("label.row", {}, this.#inputs[index], el("span.grow", {}, label))),
      this.#error,
    );
  }

  /** What gets the focus if nothing is chosen. */
  get input() {
    return this.#inputs[0];
  }

  /** The value of the chosen one; undefined if none is. */
  get value() {
    return this.#inputs.find((input) => input.checked)?.value;
  }

  /** Show an error message below the group; an empty one clears it. */
  setError(message) {
    setText(this.#error, message);
    setAttr(this.element, "aria-invalid", message ? "true" : null);
  }

  /** Return whether one is chosen, and show or clear the error message. */
  validate() {
    const valid = this.value !== undefined;
    this.setError(valid ? "" : t(`invalid.${this.name}`));
    return valid;
  }
}
