/**
 * Substitutes for the browser APIs that the library uses and Node 20 lacks. WebSocket, EventSource and the DOM are real
 * implementations.
 */

import { JSDOM } from "jsdom";

/** A `localStorage` or `sessionStorage` (jsdom's). */
export function createStorage() {
  return new JSDOM("", { url: "http://localhost/" }).window.localStorage;
}

/**
 * A storage shared by several tabs, in which a tab sees the writes of the others after a delay of up to `lag`
 * milliseconds. Returns a function that creates the view of one tab.
 */
export function createLaggingStorage(t, lag = 10) {
  const shared = createStorage();
  return () => {
    let view = new Map();
    const refresh = () => (view = new Map(Object.keys(shared).map((key) => [key, shared.getItem(key)])));
    const timer = setInterval(refresh, lag);
    t.after(() => clearInterval(timer));
    return {
      getItem: (key) => view.get(key) ?? null,
      setItem: (key, value) => (shared.setItem(key, value), view.set(key, value)),
      removeItem: (key) => (shared.removeItem(key), view.delete(key)),
    };
  };
}

/** A window with functions that fire the events on which the client wakes up. */
export function createPage() {
  const { window } = new JSDOM("", { url: "http://localhost/", pretendToBeVisual: true });
  return {
    window,
    goOnline: () => window.dispatchEvent(new window.Event("online")),
    becomeVisible: () => window.document.dispatchEvent(new window.Event("visibilitychange")),
    hide: () => window.dispatchEvent(new window.Event("pagehide")),
    show: () => window.dispatchEvent(Object.assign(new window.Event("pageshow"), { persisted: true })),
  };
}

/**
 * Exclusive Web Locks (W3C), shared by all tabs that are given the same object. A request waits for its turn, may be
 * aborted while it waits, and holds the lock until the promise of its callback is settled, or another request steals
 * it.
 */
export function createLocks() {
  const queues = new Map();
  return {
    async request(name, ...rest) {
      const callback = rest.at(-1);
      const { signal, steal = false } = rest.length > 1 ? rest[0] : {};
      signal?.throwIfAborted();
      const queue = queues.get(name) ?? [];
      queues.set(name, queue);
      const granted = withResolvers();
      const lost = withResolvers();
      granted.lose = () => lost.reject(new DOMException("The lock was stolen.", "AbortError"));
      if (steal) {
        queue.shift()?.lose();
        queue.unshift(granted);
      } else queue.push(granted);
      const release = () => {
        if (queue.includes(granted)) queue.splice(queue.indexOf(granted), 1);
        queue[0]?.resolve();
      };
      const onAbort = () => {
        release();
        granted.reject(signal.reason);
      };
      signal?.addEventListener("abort", onAbort);
      if (queue[0] === granted) granted.resolve();
      await granted.promise;
      signal?.removeEventListener("abort", onAbort);
      try {
        return await Promise.race([callback({ name, mode: "exclusive" }), lost.promise]);
      } finally {
        release();
      }
    },
  };
}

function withResolvers() {
  const deferred = {};
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
}
