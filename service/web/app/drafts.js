/** Unsent texts, kept in the browser's storage: they survive a reload, a crash, and the end of a background tab. */

const KEY_PREFIX = "loa:draft:";
/** Drafts kept in a browser; beyond that, those that were changed longest ago are dropped. */
const MAX_DRAFTS = 100;
/** Characters of a draft in the storage, which has 5 million for everything. A longer draft is kept in memory only. */
const MAX_STORED = 20_000;

/** The drafts of one user, by a key that names the form, for example `chat:<conversation id>`. */
export class Drafts {
  #prefix;
  #storage;
  /** Drafts that could not be stored, because the storage is full or forbidden. */
  #memory = new Map();

  constructor(userId, storage = browserStorage()) {
    this.#prefix = `${KEY_PREFIX}${userId}:`;
    this.#storage = storage;
  }

  /** Return the draft, as it was passed to `set`; null if there is none. */
  get(key) {
    return this.#memory.get(key) ?? read(this.#storage, this.#prefix + key)?.draft ?? null;
  }

  /** Keep `draft`, any JSON value; null removes it. */
  set(key, draft) {
    this.#memory.delete(key);
    const storageKey = this.#prefix + key;
    const value = draft === null ? null : JSON.stringify({ draft, at: Date.now() });
    try {
      if (value === null || value.length > MAX_STORED) this.#storage.removeItem(storageKey);
      else {
        if (this.#storage.getItem(storageKey) === null) dropOldest(this.#storage, MAX_DRAFTS - 1);
        this.#storage.setItem(storageKey, value);
        return;
      }
    } catch {
      // Kept in memory instead.
    }
    if (draft !== null) this.#memory.set(key, draft);
  }

  /** Remove the drafts of all users: the next user of this browser must not find them. */
  static clear(storage = browserStorage()) {
    for (const key of draftKeys(storage)) storage.removeItem(key);
  }
}

/** Return the key of what is being written in a chat; see MessageComposer. */
export function chatDraftKey(conversationId) {
  return `chat:${conversationId}`;
}

/** Return the browser's local storage; null if it is forbidden: reading the property then throws. */
function browserStorage() {
  try {
    return globalThis.localStorage;
  } catch {
    return null;
  }
}

function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null;
  }
}

function draftKeys(storage) {
  const keys = Array.from({ length: storage?.length ?? 0 }, (_, index) => storage.key(index));
  return keys.filter((key) => key.startsWith(KEY_PREFIX));
}

function dropOldest(storage, limit) {
  const keys = draftKeys(storage);
  if (keys.length <= limit) return;
  const changedAt = new Map(keys.map((key) => [key, read(storage, key)?.at ?? 0]));
  keys.sort((a, b) => changedAt.get(a) - changedAt.get(b));
  for (const key of keys.slice(0, keys.length - limit)) storage.removeItem(key);
}
