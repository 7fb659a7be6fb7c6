/** One at a time, among all tabs of the browser. */

import { load, save } from "./storage.js";

/** Milliseconds for which a tab may hold a lease; one that was closed while it held it blocks the others no longer. */
const LEASE = 20_000;
/** Milliseconds after which a write to the storage has reached every tab. */
const SETTLING = 50;

/**
 * Run `task` while no other tab runs one of the same `name`, and return what it returns.
 *
 * Web Locks exist only on pages served over TLS or from this machine. Elsewhere a lease in the storage has to do:
 * whoever finds it free writes their mark, waits until the others must see it, and holds it if it is still theirs.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} task
 * @param {{locks?: LockManager, storage: import("./storage.js").KeyValues}} platform
 * @returns {Promise<T>}
 */
export async function exclusively(name, task, { locks, storage }) {
  if (locks) return locks.request(name, task);
  const owner = `${Math.random()}`;
  while (!(await acquired(name, owner, storage))) await sleep(SETTLING * (1 + Math.random()));
  try {
    return await task();
  } finally {
    if (load(storage, name)?.owner === owner) save(storage, name, null);
  }
}

/**
 * @param {string} name
 * @param {string} owner
 * @param {import("./storage.js").KeyValues} storage
 */
async function acquired(name, owner, storage) {
  const held = load(storage, name);
  if (held && held.until > Date.now()) return false;
  save(storage, name, { owner, until: Date.now() + LEASE });
  await sleep(SETTLING);
  return load(storage, name)?.owner === owner;
}

/** @param {number} milliseconds */
function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
