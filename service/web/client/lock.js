/** A mutex shared by all tabs of a browser. */

import { load, save } from "./storage.js";

/** Milliseconds after which a lease expires, so that a tab closed while holding it does not block the others. */
const LEASE_DURATION = 20_000;
/** Milliseconds after which a write to the storage is visible in every tab. */
const PROPAGATION_DELAY = 50;

/**
 * Run `task` while no other tab runs a task under the same lock `name`, and return its result.
 *
 * Web Locks exist only in secure contexts (TLS or localhost). Without them, a lease in the storage is used: a tab that
 * finds no valid lease writes its own, waits until all tabs see the write, and holds the lock if the lease is still its
 * own.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} task
 * @param {{locks?: LockManager, storage: import("./storage.js").KeyValueStorage}} platform
 * @returns {Promise<T>}
 */
export async function withLock(name, task, { locks, storage }) {
  if (locks) return locks.request(name, task);
  const owner = `${Math.random()}`;
  while (!(await tryAcquire(name, owner, storage))) await sleep(PROPAGATION_DELAY * (1 + Math.random()));
  try {
    return await task();
  } finally {
    if (load(storage, name)?.owner === owner) save(storage, name, null);
  }
}

/**
 * @param {string} name
 * @param {string} owner
 * @param {import("./storage.js").KeyValueStorage} storage
 */
async function tryAcquire(name, owner, storage) {
  const lease = load(storage, name);
  if (lease && lease.until > Date.now()) return false;
  save(storage, name, { owner, until: Date.now() + LEASE_DURATION });
  await sleep(PROPAGATION_DELAY);
  return load(storage, name)?.owner === owner;
}

/** @param {number} milliseconds */
function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
