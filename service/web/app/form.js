/** Forms: labelled fields, what is wrong with each said beside it, and one submission at a time. */

import { el, set, setText } from "./dom.js";
import { errorText, t } from "./i18n.js";

let fields = 0;

/** One labelled input. `good(value)`: whether it may be sent; what is wrong with it is the message `problem.<name>`. */
export class Field {
  element;
  input;
  name;
  #good;
  #problem;

  /** `hint`: the name of a message; `attributes` are the input's: type, autocomplete, value … */
  constructor(name, good, { hint = null, ...attributes } = {}) {
    this.name = name;
    this.#good = good;
    const id = `field-${(fields += 1)}`;
    this.#problem = el("p.problem", { id: `${id}-problem` });
    this.input = el("input.input", {
      id,
      name,
      "aria-describedby": `${id}-hint ${id}-problem`,
      autocapitalize: "none",
      oninput: () => this.show(""),
      ...attributes,
    });
    this.element = el(
      "div.field",
      {},
      el("label", { for: id }, t(`field.${name}`)),
      this.input,
      el("p.hint", { id: `${id}-hint`, hidden: !hint }, hint && t(hint)),
      this.#problem,
    );
  }

  get value() {
    return this.input.value;
  }

  /** Say what is wrong; nothing is, where there is no `problem`. */
  show(problem) {
    setText(this.#problem, problem);
    set(this.input, "aria-invalid", problem ? "true" : null);
  }

  /** Whether its value may be sent; if not, it says why. */
  check() {
    const good = this.#good(this.value);
    this.show(good ? "" : t(`problem.${this.name}`));
    return good;
  }
}

/**
 * A form of `fields`. `send(values)` is what it is for; where it rejects, the form says why and stays as it is.
 * `children` stand between the fields and the button.
 */
export function form(fields, action, send, children = []) {
  const problem = el("p.problem", { role: "alert" });
  const button = el("button.button.primary", { type: "submit" }, action);

  async function submit(event) {
    event.preventDefault();
    setText(problem, "");
    const wrong = fields.filter((field) => !field.check());
    if (wrong.length > 0) {
      wrong[0].input.focus();
      return;
    }
    button.disabled = true;
    try {
      await send(Object.fromEntries(fields.map((field) => [field.name, field.value])));
    } catch (error) {
      complain(error);
    } finally {
      button.disabled = false;
    }
  }

  function complain(error) {
    const named = (error.errors ?? []).map((one) => fields.find((field) => field.name === one.field)).filter(Boolean);
    for (const field of named) field.show(t(`problem.${field.name}`));
    if (named.length > 0) named[0].input.focus();
    else setText(problem, errorText(error));
  }

  return el(
    "form.form",
    { novalidate: true, onsubmit: submit },
    fields.map((field) => field.element),
    children,
    problem,
    button,
  );
}

/** A textarea that is as high as its text, up to what its style allows. */
export function growing(textarea) {
  const grow = () => {
    textarea.style.height = "auto";
    textarea.style.height = `${textarea.scrollHeight + textarea.offsetHeight - textarea.clientHeight}px`;
  };
  textarea.addEventListener("input", grow);
  return grow;
}
