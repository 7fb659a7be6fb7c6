/** The parts of a browser that Node 20 lacks, as far as the library uses them; WebSocket, EventSource, DOM are real. */

import { JSDOM } from "jsdom";

/** `localStorage` or `sessionStorage`: jsdom's own, behind one origin. */
export function storage() {
  return new JSDOM("", { url: "http://localhost/" }).window.localStorage;
}

/**
 * One storage as several tabs see it whose processes are not in step: what another has written shows a little later.
 * Returns a function that makes a tab's view.
 */
export function laggingStorage(t, lag = 10) {
  const truth = storage();
  return () => {
    let view = new Map();
    const look = () => (view = new Map(Object.keys(truth).map((key) => [key, truth.getItem(key)])));
    const looking = setInterval(look, lag);
    t.after(() => clearInterval(looking));
    return {
      getItem: (key) => view.get(key) ?? null,
      setItem: (key, value) => (truth.setItem(key, value), view.set(key, value)),
      removeItem: (key) => (truth.removeItem(key), view.delete(key)),
    };
  };
}

/** A window to be woken: `online()` and `look()` are what the browser would do. */
export function page() {
  const { window } = new JSDOM("", { url: "http://localhost/", pretendToBeVisual: true });
  return {
    window,
    online: () => window.dispatchEvent(new window.Event("online")),
    look: () => window.document.dispatchEvent(new window.Event("visibilitychange")),
  };
}

/**
 * Exclusive Web Locks (W3C), shared by all "tabs" that are given the same object: a request waits for its turn, may be
 * aborted while it waits, and holds the lock until its callback's promise is settled.
 */
export function locks() {
  const queues = new Map();
  return {
    async request(name, ...rest) {
      const callback = rest.at(-1);
      const { signal } = rest.length > 1 ? rest[0] : {};
      signal?.throwIfAborted();
      const queue = queues.get(name) ?? [];
      queues.set(name, queue);
      const turn = Promise.withResolvers ? Promise.withResolvers() : withResolvers();
      queue.push(turn);
      const leave = () => {
        queue.splice(queue.indexOf(turn), 1);
        queue[0]?.resolve();
      };
      const giveUp = () => {
        leave();
        turn.reject(signal.reason);
      };
      signal?.addEventListener("abort", giveUp);
      if (queue[0] === turn) turn.resolve();
      await turn.promise;
      signal?.removeEventListener("abort", giveUp);
      try {
        return await callback({ name, mode: "exclusive" });
      } finally {
        leave();
      }
    },
  };
}

function withResolvers() {
  const turn = {};
  turn.promise = new Promise((resolve, reject) => Object.assign(turn, { resolve, reject }));
  return turn;
}
