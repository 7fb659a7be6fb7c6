/** Elements made by code: text stays text, and nothing is ever parsed as HTML. */

/**
 * `el("button.primary", {type: "button", onclick: save, "aria-label": "…"}, "Save")`
 *
 * Attributes that are null, undefined or false are left out; `on…` is a listener. Children: nodes, text, lists of them;
 * what is null or false is left out.
 */
export function el(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else set(element, name, value);
  }
  element.append(...nodes(children));
  return element;
}

/** Set an attribute, or take it away: see `el`. */
export function set(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : value);
}

/** Replace the text of `element`, if it is another one: what has not changed is not announced again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replace what is in `element`. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/**
 * A list in the page that follows a list of items: only what is new, gone, moved or changed is touched.
 *
 * `key(item)`: the same for the same thing. `create(item)`: its element. `update(element, item, before)`: called for a
 * new element, too, and whenever `item` is not the object that it was (`before`).
 */
export class KeyedList {
  #container;
  #options;
  #items = [];
  #shown = new Map();

  constructor(container, options) {
    this.#container = container;
    this.#options = options;
  }

  /** The element of the item with this key, if it is shown. */
  element(key) {
    return this.#shown.get(key)?.element;
  }

  render(items) {
    const { key, create, update } = this.#options;
    const same = this.#unchanged(items);
    const rest = items.slice(same);
    const focused = this.#container.contains(document.activeElement) ? document.activeElement : null;
    this.#remove(this.#items.slice(same), new Set(rest.map(key)));
    let place = same ? this.#shown.get(key(items[same - 1])).element.nextSibling : this.#container.firstChild;
    this.#items = items;
    for (const item of rest) {
      let view = this.#shown.get(key(item));
      if (!view) {
        view = { element: create(item), item: undefined };
        this.#shown.set(key(item), view);
      }
      if (view.item !== item) {
        update(view.element, item, view.item);
        view.item = item;
      }
      if (view.element === place) place = place.nextSibling;
      else this.#container.insertBefore(view.element, place);
    }
    // A moved element loses the focus, and with it a keyboard its place.
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
  }

  /** How many items, from the first, are the objects that they were. */
  #unchanged(items) {
    let same = 0;
    while (same < items.length && items[same] === this.#items[same]) same += 1;
    return same;
  }

  #remove(items, kept) {
    for (const key of items.map(this.#options.key)) {
      if (kept.has(key)) continue;
      this.#shown.get(key).element.remove();
      this.#shown.delete(key);
    }
  }
}
