/** Keyboard events in text fields. */

/** The key code of every key that an input method handles. */
const INPUT_METHOD = 229;

/**
 * Return whether a key press belongs to an input method, as for Vietnamese or Japanese: Enter then confirms the
 * composed text, and must neither send nor submit anything. In Safari the Enter that ends a composition comes after
 * `compositionend`, with `isComposing` false; only its key code shows that.
 */
export function isComposing(event) {
  return event.isComposing || event.keyCode === INPUT_METHOD;
}
