/** Web Push: what a user has not read is shown on this device although no page is open. */

import { LoaError } from "./errors.js";
import { browserStorage, load, save } from "./storage.js";

/** Whose pushes this browser gets: the id of a user. */
const STORAGE_KEY = "loa:push";
const WORKER_URL = "/service-worker.js";
const POLICY_NAME = "loa";

/**
 * Pushes to this browser. A subscription ends with the session: signing out unsubscribes, and nobody who signs in later
 * is subscribed without asking for it.
 *
 * `subscribe` has to be called from a click: browsers ask for the permission only then.
 */
export class Push {
  #api;
  #session;
  #workers;
  #notification;
  #storage;
  #workerUrl;
  /** The last of the changes, which happen one after the other. @type {Promise<unknown>} */
  #last = Promise.resolve();
  /** @type {(() => void)[]} */
  #unsubscribers = [];

  /**
   * @param {{
   *   api: Pick<import("./api.js").Api, "pushKey" | "addPushSubscription" | "removePushSubscription">,
   *   session: {
   *     readonly user: {id: string} | null,
   *     subscribe(handler: (event: import("./types.js").SessionEvent) => void): () => void,
   *   },
   *   workerUrl?: string,
   *   serviceWorker?: ServiceWorkerContainer,
   *   Notification?: Pick<typeof globalThis.Notification, "permission" | "requestPermission">,
   *   localStorage?: import("./storage.js").KeyValueStorage,
   * }} options `workerUrl`: the script of the service worker, on the page's origin
   */
  constructor({
    api,
    session,
    workerUrl = WORKER_URL,
    serviceWorker = globalThis.navigator?.serviceWorker,
    Notification = globalThis.Notification,
    localStorage = browserStorage("localStorage"),
  }) {
    this.#api = api;
    this.#session = session;
    this.#workerUrl = workerUrl;
    this.#workers = serviceWorker;
    this.#notification = Notification;
    this.#storage = localStorage;
  }

  /** Whether this browser can be pushed to. Safari on a phone can once the page is on the home screen. */
  get supported() {
    return Boolean(this.#workers && this.#notification && (!globalThis.window || "PushManager" in globalThis.window));
  }

  /** Whether the user has allowed notifications: `default` if they have not been asked. */
  get permission() {
    return this.#notification?.permission ?? "denied";
  }

  /** Whether the signed-in user gets pushes in this browser. */
  get active() {
    const { user } = this.#session;
    return this.supported && this.permission === "granted" && user !== null && load(this.#storage, STORAGE_KEY) === user.id;
  }

  /**
   * Follow the session: renew the subscription of a user who has one, and end it when they sign out.
   * @param {(url: string) => void} [onOpen] called when a click on a notification leads to `url` in this page
   */
  start(onOpen) {
    if (!this.supported || this.#unsubscribers.length) return;
    const onMessage = (/** @type {MessageEvent} */ { data }) => data?.type === "loa:open" && onOpen?.(data.url);
    this.#workers?.addEventListener("message", onMessage);
    this.#unsubscribers = [
      () => this.#workers?.removeEventListener("message", onMessage),
      this.#session.subscribe((event) => {
        if (event.type === "signed-in") this.#renew();
        else this.#inTurn(() => this.#end()).catch(() => {});
      }),
    ];
    this.#renew();
  }

  stop() {
    for (const unsubscribe of this.#unsubscribers) unsubscribe();
    this.#unsubscribers = [];
  }

  /**
   * Ask for the permission if necessary, and let the signed-in user get pushes in this browser. Rejects with a LoaError:
   * `push_unsupported`, `push_denied`, `push_failed` (the browser cannot reach its push service), or the server's.
   */
  async subscribe() {
    if (!this.supported) throw new LoaError("push_unsupported", "This browser cannot be pushed to.");
    const permission = await this.#notification?.requestPermission();
    if (permission !== "granted") throw new LoaError("push_denied", "Notifications are not allowed.");
    await this.#inTurn(() => this.#subscribe());
  }

  /** End the pushes to this browser, also if the request to the server fails: it then rejects with a LoaError. */
  async unsubscribe() {
    await this.#inTurn(async () => {
      const endpoint = await this.#end();
      if (endpoint) await this.#api.removePushSubscription(endpoint);
    });
  }

  /** A subscription may have changed, or have ended, while no page was open; a new session needs a new one. */
  #renew() {
    if (this.active) this.#inTurn(() => this.#subscribe()).catch(() => {});
  }

  async #subscribe() {
    const userId = this.#session.user?.id;
    const { public_key: key } = await this.#api.pushKey();
    const manager = (await this.#registration()).pushManager;
    const options = { userVisibleOnly: true, applicationServerKey: key };
    /** @type {PushSubscription} */
    let subscription;
    try {
      subscription = await manager.subscribe(options).catch(async (error) => {
        // It is subscribed with another key: that of another server, which this browser had before.
        if (error?.name !== "InvalidStateError") throw error;
        await (await manager.getSubscription())?.unsubscribe();
        return manager.subscribe(options);
      });
    } catch (error) {
      throw new LoaError("push_failed", `The browser could not subscribe: ${error}`);
    }
    await this.#api.addPushSubscription(subscription.toJSON());
    // Signed out meanwhile: the session's end has found nothing to end.
    if (this.#session.user?.id !== userId) await subscription.unsubscribe();
    else save(this.#storage, STORAGE_KEY, userId);
  }

  /** End the browser's subscription. @returns {Promise<string | null>} its endpoint */
  async #end() {
    save(this.#storage, STORAGE_KEY, null);
    const registration = await this.#workers?.getRegistration(this.#workerUrl);
    const subscription = await registration?.pushManager.getSubscription();
    await subscription?.unsubscribe();
    return subscription?.endpoint ?? null;
  }

  async #registration() {
    if (!this.#workers) throw new LoaError("push_unsupported", "This browser cannot be pushed to.");
    await this.#workers.register(trustedUrl(this.#workerUrl));
    return this.#workers.ready;
  }

  /**
   * @template T
   * @param {() => Promise<T>} action
   * @returns {Promise<T>}
   */
  #inTurn(action) {
    const done = this.#last.then(action, action);
    this.#last = done.catch(() => {});
    return done;
  }
}

/** The policy of Trusted Types; a name can be used once. @type {{createScriptURL(url: string): unknown} | null} */
let policy = null;

/**
 * Return the script's address as pages with `require-trusted-types-for` need it.
 * @param {string} url
 */
function trustedUrl(url) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  policy ??= types?.createPolicy(POLICY_NAME, { createScriptURL: (/** @type {string} */ each) => each }) ?? null;
  return /** @type {string} */ (policy ? policy.createScriptURL(url) : url);
}
