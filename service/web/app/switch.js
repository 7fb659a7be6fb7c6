/** Form controls whose change is saved at once. */

import { el } from "./dom.js";
import { errorText } from "./i18n.js";
import { showToast } from "./toast.js";

/**
 * Save the value of `input`, its property `property`, whenever the user changes it: `save(value)` returns a promise, and
 * calls the returned `show(value)` with what is stored then. If it rejects, the input shows the stored value again.
 */
export function saveOnChange(input, property, save) {
  let stored = input[property];
  let saving = 0;
  const show = (value) => {
    stored = value;
    if (!saving) input[property] = value;
  };
  input.addEventListener("change", async () => {
    saving += 1;
    try {
      await save(input[property]);
    } catch (error) {
      showToast(errorText(error));
    }
    saving -= 1;
    show(stored);
  });
  return show;
}

/** Return {element, input, show}, a labelled switch; `hint`: a line below the label. `save`, `show`: see saveOnChange. */
export function switchRow(label, save, hint = null) {
  const input = el("input", { type: "checkbox", role: "switch" });
  const text = el("span.grow", {}, label, hint && el("span.hint", {}, hint));
  return { element: el("label.row", {}, text, input), input, show: saveOnChange(input, "checked", save) };
}
