/** The browser's storages; where they are missing or forbidden, one that lasts as long as the page. */

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} KeyValues */

/**
 * @param {"localStorage" | "sessionStorage"} name
 * @returns {KeyValues}
 */
export function browserStorage(name) {
  try {
    // Reading the property throws where the person has forbidden storage, writing where there is no room for any.
    const storage = globalThis[name];
    storage.setItem("loa:probe", "");
    storage.removeItem("loa:probe");
    return storage;
  } catch {
    return memory();
  }
}

/** @returns {KeyValues} */
function memory() {
  /** @type {Map<string, string>} */
  const values = new Map();
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
}

/**
 * What was stored as JSON under `key`; null where there is nothing, or nothing readable.
 * @param {KeyValues} storage
 * @param {string} key
 * @returns {any}
 */
export function load(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/**
 * Store `value` as JSON, or remove it where it is null. A full storage is no reason to fail: it only helps a reload.
 * @param {KeyValues} storage
 * @param {string} key
 * @param {unknown} value
 */
export function save(storage, key, value) {
  try {
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, JSON.stringify(value));
  } catch {
    // Nothing to be done.
  }
}
