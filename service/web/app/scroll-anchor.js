/**
 * Scroll anchoring for a list that grows at both ends. At the bottom, the list follows new rows; elsewhere, the rows in
 * view stay where they are while others are added above or below.
 */

/** Pixels from the bottom that still count as the bottom: a message's status line, and rounding when zoomed. */
const BOTTOM_TOLERANCE = 40;

export class ScrollAnchor {
  #container;
  #list;
  #isAnchor;
  #atBottom = true;
  #scrollTop = 0;
  #resizeObserver;

  /**
   * `container` scrolls, `list` holds the rows; `onScroll` is called after each scroll event. `isAnchor(row)`: whether the
   * neighbours of a row stay the same when others are added above them.
   */
  constructor(container, list, onScroll, isAnchor) {
    this.#container = container;
    this.#list = list;
    this.#isAnchor = isAnchor;
    container.addEventListener(
      "scroll",
      () => {
        this.#onScroll();
        onScroll();
      },
      { passive: true },
    );
    // The height changes with the window, a phone's on-screen keyboard and the composer.
    this.#resizeObserver = new ResizeObserver(() => this.#atBottom && this.#jumpToBottom());
    this.#resizeObserver.observe(container);
  }

  close() {
    this.#resizeObserver.disconnect();
  }

  /** Whether the bottom is in view, or a smooth scroll to it is under way. */
  get atBottom() {
    return this.#atBottom;
  }

  /** Pixels of the list below the viewport. */
  get distanceToBottom() {
    return this.#container.scrollHeight - this.#container.scrollTop - this.#container.clientHeight;
  }

  /** Call `change`, which modifies the list, and keep the scroll position. */
  preserve(change) {
    const anchor = this.#atBottom ? null : this.#firstVisibleRow();
    // Anchor its lower edge: if the row itself changes height, it grows out of view.
    const before = anchor?.getBoundingClientRect().bottom;
    change();
    if (this.#atBottom) this.#jumpToBottom();
    else if (anchor?.isConnected) this.#container.scrollTop += anchor.getBoundingClientRect().bottom - before;
  }

  scrollToBottom({ smooth = false } = {}) {
    this.#atBottom = true;
    if (smooth) this.#container.scrollTo({ top: this.#container.scrollHeight, behavior: "smooth" });
    else this.#jumpToBottom();
  }

  /** Scroll to `row`; `block` is "start" or "center", as for `scrollIntoView`. */
  scrollTo(row, block) {
    this.#atBottom = false;
    row.scrollIntoView({ block });
    this.#onScroll();
  }

  #firstVisibleRow() {
    let row = this.#list.children[firstVisible(this.#container, this.#list)];
    while (row && !this.#isAnchor(row)) row = row.nextElementSibling;
    return row ?? null;
  }

  #jumpToBottom() {
    this.#container.scrollTop = this.#container.scrollHeight;
    this.#scrollTop = this.#container.scrollTop;
  }

  /** Only scrolling up leaves the bottom: a smooth scroll down takes a while, and messages may arrive meanwhile. */
  #onScroll() {
    const { scrollTop } = this.#container;
    if (this.distanceToBottom <= BOTTOM_TOLERANCE) this.#atBottom = true;
    else if (scrollTop < this.#scrollTop) this.#atBottom = false;
    this.#scrollTop = scrollTop;
  }
}

/** Return the index of the first child of `list` that is in view in `container`. Binary search: there may be thousands. */
export function firstVisible(container, list) {
  const { top } = container.getBoundingClientRect();
  const rows = list.children;
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].getBoundingClientRect().bottom > top) high = middle;
    else low = middle + 1;
  }
  return low;
}
