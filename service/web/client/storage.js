/** The browser's key-value storages, with an in-memory fallback. */

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} KeyValueStorage */

/**
 * Return the named storage, or one in memory if the browser's is missing or forbidden. A full storage is returned, too:
 * what it contains can still be read.
 * @param {"localStorage" | "sessionStorage"} name
 * @returns {KeyValueStorage}
 */
export function browserStorage(name) {
  try {
    // Reading the property throws if the user has forbidden storage.
    const storage = globalThis[name];
    storage.getItem("loa:probe");
    return storage;
  } catch {
    return memoryStorage();
  }
}

/** @returns {KeyValueStorage} */
function memoryStorage() {
  /** @type {Map<string, string>} */
  const values = new Map();
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
}

/**
 * Return the JSON value stored under `key`; null if there is none, or if it is not valid JSON.
 * @param {KeyValueStorage} storage
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
 * Store `value` as JSON under `key`; remove the key if the value is null. Returns whether it was stored: a write fails
 * if the storage is full. The previous value then remains.
 * @param {KeyValueStorage} storage
 * @param {string} key
 * @param {unknown} value
 */
export function save(storage, key, value) {
  try {
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
