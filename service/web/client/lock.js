/** A mutex shared by all tabs of a browser. */

import { randomId } from "./random-id.js";
import { load, save } from "./storage.js";

/**
 * Milliseconds to wait for the lock. A tab that holds it for longer is frozen or closed; a task that is alive takes
 * less, because every request has a deadline.
 */
const MAX_WAIT = 20_000;
/** Milliseconds after which a lease expires, so that a tab closed while holding it does not block the others. */
const LEASE_DURATION = 20_000;
/** Milliseconds after which a write to the storage is visible in every tab. */
const PROPAGATION_DELAY = 50;

/**
 * Run `task` while no other tab runs a task under the same lock `name`, and return its result. If the lock is not free
 * within `MAX_WAIT`, the task runs without it.
 *
 * Web Locks exist only in secure contexts (TLS or localhost). Without them, a lease in the storage is used.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} task
 * @param {{locks?: LockManager, storage: import("./storage.js").KeyValueStorage}} platform
 * @returns {Promise<T>}
 */
export function withLock(name, task, { locks, storage }) {
  return locks ? withWebLock(name, task, locks) : withLease(name, task, storage);
}

/**
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} task
 * @param {LockManager} locks
 * @returns {Promise<T>}
 */
function withWebLock(name, task, locks) {
  const waiting = new AbortController();
  let started = false;
  return new Promise((resolve, reject) => {
    const run = () => {
      started = true;
      clearTimeout(timer);
      const running = task();
      running.then(resolve, reject);
      return running;
    };
    const timer = setTimeout(() => {
      waiting.abort();
      // Take the lock away from its holder, so that the tasks after this one do not have to wait as long.
      locks.request(name, { steal: true }, async () => {}).catch(() => {});
      run();
    }, MAX_WAIT);
    locks.request(name, { signal: waiting.signal }, run).catch(() => {
      // If another tab took the lock away while the task was running, its result counts all the same.
      if (!started) run();
    });
  });
}

/**
 * A tab that finds no valid lease writes its own, waits until all tabs see the write, and holds the lock if the lease
 * is still its own.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} task
 * @param {import("./storage.js").KeyValueStorage} storage
 * @returns {Promise<T>}
 */
async function withLease(name, task, storage) {
  const owner = randomId();
  const deadline = Date.now() + MAX_WAIT;
  while (!(await tryAcquire(name, owner, storage)) && Date.now() < deadline) {
    await sleep(PROPAGATION_DELAY * (1 + Math.random()));
  }
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
  const remaining = (load(storage, name)?.until ?? 0) - Date.now();
  // A lease that expires later than a new one would was written before the device's clock was set back.
  if (remaining > 0 && remaining <= LEASE_DURATION) return false;
  // A full storage cannot hold a lease: there is no lock, and nothing to wait for.
  if (!save(storage, name, { owner, until: Date.now() + LEASE_DURATION })) return true;
  await sleep(PROPAGATION_DELAY);
  return load(storage, name)?.owner === owner;
}

/** @param {number} milliseconds */
function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
