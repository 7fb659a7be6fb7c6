/**
 * Keeps a reader's place in a list that grows at both ends: at the bottom it follows, elsewhere what is being read stays
 * where it is, whatever is added above or below.
 */

const NEAR = 40;
/** Pixels from the bottom that still count as being there: the last line of a message, and what zooming rounds. */

export class ScrollKeeper {
  #box;
  #rows;
  #follows = true;
  #top = 0;
  #watcher;

  /** `box` scrolls, `rows` holds the list; `onMove` is called whenever the place has changed. */
  constructor(box, rows, onMove) {
    this.#box = box;
    this.#rows = rows;
    box.addEventListener(
      "scroll",
      () => {
        this.#noteMove();
        onMove();
      },
      { passive: true },
    );
    // The window, the keyboard of a phone and the writer below take room and give it back.
    this.#watcher = new ResizeObserver(() => this.#follows && this.#jump());
    this.#watcher.observe(box);
  }

  close() {
    this.#watcher.disconnect();
  }

  /** Whether the end is in view, or will be as soon as it is there. */
  get follows() {
    return this.#follows;
  }

  /** How much of the list lies below the window, in pixels. */
  get below() {
    return this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight;
  }

  /** Do `change` to the list. */
  keep(change) {
    const anchor = this.#follows ? null : this.#firstShown();
    // Its lower edge: should it grow or shrink itself, that happens out of sight.
    const before = anchor?.getBoundingClientRect().bottom;
    change();
    if (this.#follows) this.#jump();
    else if (anchor?.isConnected) this.#box.scrollTop += anchor.getBoundingClientRect().bottom - before;
  }

  toBottom({ smooth = false } = {}) {
    this.#follows = true;
    if (smooth) this.#box.scrollTo({ top: this.#box.scrollHeight, behavior: "smooth" });
    else this.#jump();
  }

  /** Show `row` somewhere near the `place` of the window: "start", "center". */
  to(row, place) {
    this.#follows = false;
    row.scrollIntoView({ block: place });
    this.#noteMove();
  }

  /** The first row that is in the window; found by halving, for there may be thousands. */
  #firstShown() {
    const y = this.#box.getBoundingClientRect().top;
    const rows = this.#rows.children;
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].getBoundingClientRect().bottom > y) high = middle;
      else low = middle + 1;
    }
    return rows[low] ?? null;
  }

  #jump() {
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#top = this.#box.scrollTop;
  }

  /** Only who moves up stops following: a smooth way down is long, and messages may arrive on it. */
  #noteMove() {
    const top = this.#box.scrollTop;
    if (this.below <= NEAR) this.#follows = true;
    else if (top < this.#top) this.#follows = false;
    this.#top = top;
  }
}
