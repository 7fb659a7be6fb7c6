/** Builds DOM elements. Text is only ever inserted as text nodes, never parsed as HTML. */

/**
 * Create an element: `el("button.primary", {type: "button", onclick: save, "aria-label": "…"}, "Save")`
 *
 * Attributes that are null, undefined or false are left out; `on…` attributes are event listeners. Children are nodes,
 * strings, or arrays of them; null, undefined and false are left out.
 */
export function el(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else setAttr(element, name, value);
  }
  element.append(...flatten(children));
  return element;
}

/** Set an attribute, or remove it if `value` is null, undefined or false. */
export function setAttr(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : value);
}

/** Set the text of `element` if it differs: a live region would announce unchanged text again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replace the children of `element`; `children` as for `el`. */
export function setChildren(element, ...children) {
  element.replaceChildren(...flatten(children));
}

function flatten(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/**
 * Keyed rendering of a list: only elements of items that were added, removed, moved or changed are touched.
 *
 * `key(item)` identifies an item. `create(item)` returns its element. `update(element, item, previous)` is called for a
 * new element and whenever `item` is another object than `previous`.
 */
export class KeyedList {
  #container;
  #options;
  #items = [];
  #entries = new Map();

  constructor(container, options) {
    this.#container = container;
    this.#options = options;
  }

  /** Return the element of the item with this key, or undefined. */
  element(key) {
    return this.#entries.get(key)?.element;
  }

  render(items) {
    const { key, create, update } = this.#options;
    const unchanged = this.#countUnchanged(items);
    const rest = items.slice(unchanged);
    const focused = this.#container.contains(document.activeElement) ? document.activeElement : null;
    this.#remove(this.#items.slice(unchanged), new Set(rest.map(key)));
    let next = unchanged
      ? this.#entries.get(key(items[unchanged - 1])).element.nextSibling
      : this.#container.firstChild;
    this.#items = items;
    for (const item of rest) {
      let entry = this.#entries.get(key(item));
      if (!entry) {
        entry = { element: create(item), item: undefined };
        this.#entries.set(key(item), entry);
      }
      if (entry.item !== item) {
        update(entry.element, item, entry.item);
        entry.item = item;
      }
      if (entry.element === next) next = next.nextSibling;
      else this.#container.insertBefore(entry.element, next);
    }
    // An element that is moved loses the focus: keyboard users would have to start over.
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
  }

  /** Return how many items, from the first, are the same objects as before. */
  #countUnchanged(items) {
    let count = 0;
    while (count < items.length && items[count] === this.#items[count]) count += 1;
    return count;
  }

  #remove(items, keptKeys) {
    for (const key of items.map(this.#options.key)) {
      if (keptKeys.has(key)) continue;
      this.#entries.get(key).element.remove();
      this.#entries.delete(key);
    }
  }
}
