/** The files that are attached to what is being written: uploaded at once, one after the other. */

import { el, KeyedList, setAttr, setChildren } from "./dom.js";
import { errorText, formatSize, t } from "./i18n.js";
import { icon } from "./icon.js";
import { withDialogs } from "./later.js";
import { showToast } from "./toast.js";

/** The server's limits; it may have a lower one for the size. */
export const MAX_FILES = 10;
const MAX_BYTES = 25 * 2 ** 20;
/** What is uploaded at the same time. More would only make each slower. */
const CONCURRENT = 2;
/** Milliseconds after which an upload that has broken off is repeated by itself, and how often. */
const RETRY_DELAYS = [1000, 4000, 10_000];

let nextKey = 1;

/**
 * An item is {key, name, size, file, preview, state, progress, attachment, abort}. `state`: "waiting", "uploading",
 * "done" or "failed".
 */
export class AttachmentTray {
  element;
  /** Called when `attachments` or `isReady` may have changed. */
  onChange = () => {};
  #api;
  #items = [];
  #container = el("ul.tray-items");
  #list;
  #closed = new AbortController();

  constructor(api) {
    this.#api = api;
    this.element = el("div.tray", { hidden: true, role: "group", "aria-label": t("attachments") }, this.#container);
    this.#list = new KeyedList(this.#container, {
      key: ({ key }) => key,
      create: () => el("li.tray-item"),
      update: (element, item) => this.#renderItem(element, item),
    });
  }

  /** The uploaded files, in their order. */
  get attachments() {
    return this.#items.filter(({ state }) => state === "done").map(({ attachment }) => attachment);
  }

  /** Whether everything is uploaded. */
  get isReady() {
    return this.#items.every(({ state }) => state === "done");
  }

  /** Put back what was uploaded before, as from a draft. */
  restore(attachments) {
    this.#clear();
    this.#items = attachments.map((attachment) => ({
      key: (nextKey += 1),
      name: attachment.name,
      size: attachment.size,
      preview: attachment.thumbnail_url,
      state: "done",
      progress: 1,
      attachment,
    }));
    this.#render();
  }

  /** Take these away, because they have been sent; what was added since stays. */
  remove(attachments) {
    const sent = new Set(attachments.map(({ id }) => id));
    const isSent = ({ attachment }) => sent.has(attachment?.id);
    for (const item of this.#items.filter(isSent)) release(item);
    this.#items = this.#items.filter((item) => !isSent(item));
    this.#changed();
  }

  /** Add files, which are uploaded at once. */
  add(files) {
    const fitting = [...files].filter((file) => file.size > 0 && file.size <= MAX_BYTES);
    if (fitting.length < files.length) showToast(t("attachments.too_large", { size: formatSize(MAX_BYTES) }));
    const room = MAX_FILES - this.#items.length;
    if (fitting.length > room) showToast(t("attachments.too_many", { count: MAX_FILES }));
    const added = fitting.slice(0, room).map((file) => ({
      key: (nextKey += 1),
      name: file.name,
      size: file.size,
      file,
      preview: file.type.startsWith("image/") ? URL.createObjectURL(file) : null,
      state: "waiting",
      progress: 0,
    }));
    this.#items = [...this.#items, ...added];
    this.#changed();
    this.#reveal(this.#items.at(-1)?.key);
    this.#uploadNext();
  }

  /** Stop everything; nothing is left on the server for long. */
  close() {
    this.#closed.abort();
    this.#clear();
  }

  #clear() {
    for (const item of this.#items) release(item);
    this.#items = [];
  }

  #uploadNext() {
    const uploading = this.#items.filter(({ state }) => state === "uploading").length;
    const waiting = this.#items.find(({ state }) => state === "waiting");
    if (waiting && uploading < CONCURRENT) {
      this.#upload(waiting.key);
      this.#uploadNext();
    }
  }

  async #upload(key) {
    const abort = new AbortController();
    const { file, name } = this.#item(key);
    this.#update(key, { state: "uploading", abort });
    for (let attempt = 0; ; attempt += 1) {
      try {
        const onProgress = (progress) => this.#update(key, { progress });
        const attachment = await this.#api.upload(file, name, { signal: abort.signal, onProgress });
        this.#update(key, { state: "done", progress: 1, attachment });
        break;
      } catch (error) {
        if (abort.signal.aborted) return;
        const delay = isTransient(error) ? RETRY_DELAYS[attempt] : undefined;
        if (delay === undefined) {
          this.#update(key, { state: "failed", error });
          this.#reveal(key);
          if (isTransient(error)) this.#retryOnline(key);
          break;
        }
        this.#update(key, { progress: 0 });
        await new Promise((resolve) => setTimeout(resolve, delay));
        if (abort.signal.aborted) return;
      }
    }
    this.#uploadNext();
  }

  #item(key) {
    return this.#items.find((item) => item.key === key);
  }

  #update(key, changes) {
    this.#items = this.#items.map((item) => (item.key === key ? { ...item, ...changes } : item));
    this.#changed();
  }

  #discard(item) {
    release(this.#item(item.key));
    this.#items = this.#items.filter(({ key }) => key !== item.key);
    this.#changed();
    this.#uploadNext();
  }

  /** An outage may last longer than the repetitions by the clock. */
  #retryOnline(key) {
    const retry = () => this.#item(key)?.state === "failed" && this.#retry({ key });
    addEventListener("online", retry, { once: true, signal: this.#closed.signal });
  }

  #retry({ key }) {
    this.#update(key, { state: "waiting", progress: 0, error: null });
    this.#uploadNext();
  }

  #changed() {
    if (this.#closed.signal.aborted) return;
    this.#render();
    this.onChange();
  }

  /** Scroll to an item, without moving the page: of many, not all are in view, and one that fails prevents sending. */
  #reveal(key) {
    const element = this.#list.element(key);
    if (element) this.#container.scrollTop = element.offsetTop - this.#container.offsetTop;
  }

  #render() {
    this.element.hidden = this.#items.length === 0;
    this.#list.render(this.#items);
  }

  /** Let the user describe an uploaded image. The focus returns to the button, which is another one then. */
  #describe({ key, attachment }) {
    const onDescribed = (described) => {
      if (!this.#item(key)) return;
      this.#update(key, { attachment: described });
      this.#list.element(key).querySelector(".describe").focus();
    };
    withDialogs(({ openDescriptionDialog }) => openDescriptionDialog(this.#api, attachment, onDescribed));
  }

  #describeButton(item) {
    const label = t("attachments.describe", { name: item.name });
    return el(
      "button.icon-button.describe",
      {
        type: "button",
        title: item.attachment.description || label,
        "aria-label": label,
        "aria-haspopup": "dialog",
        onclick: () => this.#describe(item),
      },
      t("attachments.alt"),
      item.attachment.description && icon("check"),
    );
  }

  #outcome(item) {
    if (item.state !== "failed") return el("span.size.muted", {}, formatSize(item.size));
    if (isRefused(item.error)) return el("span.error", {}, t("attachments.refused"));
    return el("button.button.link", { type: "button", onclick: () => this.#retry(item) }, t("try_again"));
  }

  #renderItem(element, item) {
    element.classList.toggle("failed", item.state === "failed");
    setAttr(element, "title", item.state === "failed" ? errorText(item.error) : null);
    const { name } = item;
    setChildren(
      element,
      item.preview && item.state !== "failed"
        ? el("img", { src: item.preview, alt: "", width: 40, height: 40 })
        : icon("file"),
      el("span.name.ellipsis", { dir: "auto" }, name),
      this.#outcome(item),
      item.attachment?.thumbnail_url && this.#describeButton(item),
      el(
        "button.icon-button",
        { type: "button", "aria-label": t("attachments.remove", { name }), onclick: () => this.#discard(item) },
        icon("close"),
      ),
      item.state !== "done" &&
        item.state !== "failed" &&
        el("progress", { max: 1, value: item.progress, "aria-label": t("attachments.uploading", { name }) }),
    );
  }
}

function isRefused({ code }) {
  return code === "validation_failed" || code === "too_large";
}

function isTransient({ code }) {
  return code === "network" || code === "unavailable" || code === "rate_limited";
}

function release({ abort, preview, file }) {
  abort?.abort();
  if (file && preview) URL.revokeObjectURL(preview);
}
