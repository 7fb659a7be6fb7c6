/** The search for messages: in all chats, or in one. Its results are links to the messages. */

import { conversationName } from "./conversation-labels.js";
import { showDialog } from "./dialog.js";
import { el, setText } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { nameOf } from "./message-bubble.js";
import { linkToMessage, navigate } from "./router.js";
import { snippet } from "./search-snippet.js";
import { shortDateTime, timeElement } from "./time-format.js";

/** Milliseconds without a keystroke before the search is sent. */
const SEARCH_DEBOUNCE = 250;
/** Pages to ask for until one has a message: the server reads a bounded number of messages for each. */
const MAX_PAGES = 20;

/** `conversationId`: the chat to search in; null for all. */
export function openSearch(app, conversationId = null) {
  const list = el("ul.rows.search-results", { role: "list", onkeydown: (event) => moveFocus(event, list, input) });
  const status = el("p.hint", { role: "status" }, t("search.hint"));
  const more = loadMoreButton(() => load(request));
  const input = el("input.input", {
    type: "search",
    "aria-label": t("search.messages"),
    placeholder: t("search.messages"),
    autocomplete: "off",
    maxlength: 200,
    dir: "auto",
    autofocus: true,
    oninput: onInput,
    onkeydown: (event) => moveFocus(event, list, input),
  });
  const unsubscribe = app.profiles.subscribe(showNames);
  let timer;
  /** The search that is shown, or under way: {q, next}. */
  let request = { q: "", next: null };

  function onInput() {
    clearTimeout(timer);
    timer = setTimeout(search, SEARCH_DEBOUNCE);
  }

  async function search() {
    const started = (request = { q: input.value.trim(), next: null });
    list.replaceChildren();
    more.setHasMore(false);
    setText(status, started.q ? t("loading") : t("search.hint"));
    try {
      if (started.q) await load(started);
    } catch (error) {
      if (started === request) setText(status, errorText(error));
    }
  }

  async function load(started) {
    for (let count = 0; count < MAX_PAGES; count++) {
      const { q, next: before } = started;
      const { items, next } = await app.api.searchMessages(q, { conversation_id: conversationId, before });
      // Ignore the response if a newer search was started.
      if (started !== request) return;
      started.next = next;
      list.append(...items.map(createRow));
      showNames();
      if (items.length || !next) break;
    }
    const found = list.children.length;
    setText(status, found ? t("search.result_count", { count: found }) : t("search.none"));
    more.setHasMore(Boolean(started.next));
  }

  function createRow({ message, highlights }) {
    app.profiles.load([message.sender_id]);
    const details = app.getState().conversations[message.conversation_id]?.details;
    const link = linkToMessage(message.conversation_id, message.seq);
    const row = el(
      "a.row.search-result",
      { href: link, onclick: (event) => follow(event, link) },
      el(
        "span.grow",
        {},
        el(
          "span.search-result-head",
          {},
          el("span.name.ellipsis", { dir: "auto" }),
          timeElement(message.created_at, shortDateTime),
        ),
        conversationId || !details || details.kind === "direct"
          ? null
          : el("span.muted.small.ellipsis", { dir: "auto" }, conversationName(details, app.me.id)),
        el("span.search-snippet", { dir: "auto" }, snippet(message.content, highlights)),
      ),
    );
    row.senderId = message.sender_id;
    return el("li", {}, row);
  }

  function showNames() {
    const { people } = app.getState();
    for (const { firstChild: row } of list.children) {
      const name = row.senderId === app.me.id ? t("message.you") : nameOf(people[row.senderId]);
      setText(row.querySelector(".name"), name);
    }
  }

  /** Also if the address is that of the message already. */
  function follow(event, link) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.close();
    navigate(link);
  }

  const details = conversationId && app.getState().conversations[conversationId]?.details;
  const title = details ? t("search.in", { name: conversationName(details, app.me.id) }) : t("search.title");
  const body = el("div.form", {}, el("div.search", {}, icon("search"), input), status, list, more.element);
  const dialog = showDialog(title, body);
  dialog.closed.then(() => {
    clearTimeout(timer);
    request = null;
    unsubscribe();
    more.close();
  });
}

/** The arrow keys go from the field through the results. */
function moveFocus(event, list, input) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const stops = [input, ...list.querySelectorAll("a.row")];
  const index = stops.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
  if (!stops[index]) return;
  event.preventDefault();
  stops[index].focus();
}
