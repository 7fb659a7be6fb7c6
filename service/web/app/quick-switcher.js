/** The quick switcher: goes to a chat, a person, a post or a page by the beginnings of the words of its name. */

import { avatar, iconAvatar } from "./avatar.js";
import { conversationAvatar, conversationName, otherParticipant } from "./conversation-labels.js";
import { showDialog } from "./dialog.js";
import { el, setAttr, setChildren, setText } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { icon } from "./icon.js";
import { isComposing } from "./keyboard.js";
import { LINK_TO_MODERATION, linkToConversation, linkToPost, linkToUser, navigate } from "./router.js";
import { matchesWords } from "./text.js";

/** Milliseconds without a keystroke before the server is asked. */
const SEARCH_DEBOUNCE = 150;
/** Shown of each kind. */
const MAX_CHATS = 8;
const MAX_PEOPLE = 6;
const MAX_POSTS = 6;
/** The latest posts, which are searched in; the server has no search for posts. */
const POSTS_TO_SEARCH = 30;
/** Pages of the list of chats that are loaded for one switcher; the others are found by the search for people. */
const MAX_CHAT_PAGES = 10;
/** Characters of a post. */
const MAX_POST_LABEL = 100;

/**
 * The focus stays in the field; `aria-activedescendant` tells screen readers which option Enter follows, as in the
 * combobox pattern of WAI-ARIA.
 */
export function openQuickSwitcher(app) {
  const { api, me, store } = app;
  const list = el("div.switcher-options", { id: "switcher-options", role: "listbox", "aria-label": t("switcher.title") });
  const status = el("p.hint", { role: "status" });
  const input = el("input.input", {
    type: "text",
    role: "combobox",
    "aria-label": t("switcher.label"),
    "aria-autocomplete": "list",
    "aria-expanded": "true",
    "aria-controls": list.id,
    placeholder: t("switcher.label"),
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    enterkeyhint: "go",
    maxlength: 100,
    dir: "auto",
    autofocus: true,
    oninput: onInput,
    onkeydown: onKeyDown,
  });
  let timer;
  let query = "";
  /** What the server has found for `query`; null until it answers. */
  let people = null;
  let posts = null;
  let postsRequest = null;
  let chatPages = 0;
  /** The option that Enter follows: it stays, whatever is found later for the same query. */
  let active = 0;
  /** Rendered options, from the top: links. */
  let options = [];

  function onInput() {
    query = input.value.trim();
    people = null;
    options = [];
    clearTimeout(timer);
    if (query) timer = setTimeout(() => search(query), SEARCH_DEBOUNCE);
    render();
  }

  /** Show what each of the searches finds as soon as it has answered. */
  async function search(wanted) {
    const show = () => wanted === query && render();
    const searches = [searchPeople(wanted), loadPosts(), loadChats(wanted)].map((found) => found.then(show));
    const failed = (await Promise.allSettled(searches)).find(({ reason }) => reason);
    if (failed && wanted === query) setText(status, errorText(failed.reason));
  }

  async function searchPeople(wanted) {
    const { items } = await api.users(wanted, MAX_PEOPLE + 1);
    if (wanted === query) people = items.filter(({ id }) => id !== me.id);
  }

  async function loadPosts() {
    postsRequest ??= api.posts({ limit: POSTS_TO_SEARCH });
    try {
      posts = (await postsRequest).items;
    } catch (error) {
      postsRequest = null;
      throw error;
    }
  }

  /** Load more of the list of chats, until enough of them match. */
  async function loadChats(wanted) {
    while (wanted === query && chatPages < MAX_CHAT_PAGES && chats().length < MAX_CHATS) {
      if (!store.getSnapshot().hasMoreConversations) return;
      chatPages += 1;
      await store.loadMoreConversations();
    }
  }

  function chats() {
    const { conversations, conversationIds } = app.getState();
    return conversationIds
      .map((id) => conversations[id].details)
      .filter((details) => matchesWords(conversationName(details, me.id), query))
      .slice(0, MAX_CHATS);
  }

  function render() {
    const found = chats();
    const inChats = new Set(found.map((details) => otherParticipant(details, me.id)?.id));
    const groups = [
      ["switcher.chats", found.map(chatOption)],
      ["switcher.people", (people ?? []).filter(({ id }) => !inChats.has(id)).slice(0, MAX_PEOPLE).map(personOption)],
      ["switcher.posts", query ? matchingPosts().map(postOption) : []],
      ["switcher.pages", pages().filter(({ label }) => matchesWords(label, query)).map(pageOption)],
    ].filter(([, rows]) => rows.length);
    const chosen = options[active]?.getAttribute("href");
    options = groups.flatMap(([, rows]) => rows);
    options.forEach((option, index) => setAttr(option, "id", `switcher-option-${index}`));
    setChildren(list, groups.map(group));
    activate(options.findIndex((each) => each.getAttribute("href") === chosen));
    const isSearching = query && (people === null || posts === null);
    if (!options.length) setText(status, isSearching ? t("loading") : t("switcher.none"));
    else setText(status, isSearching ? "" : t("switcher.result_count", { count: options.length }));
  }

  function matchingPosts() {
    const text = ({ author, content }) => `${author.display_name} ${content}`;
    return (posts ?? []).filter((post) => matchesWords(text(post), query)).slice(0, MAX_POSTS);
  }

  function pages() {
    return [
      { href: "#/", label: t("nav.chats"), iconName: "chats" },
      { href: "#/posts", label: t("nav.posts"), iconName: "posts" },
      ...(me.roles?.includes("moderator")
        ? [{ href: LINK_TO_MODERATION, label: t("moderation.title"), iconName: "flag" }]
        : []),
    ];
  }

  function chatOption(details) {
    return option(
      linkToConversation(details.id),
      conversationAvatar(details, me.id, "small"),
      conversationName(details, me.id),
    );
  }

  function personOption(profile) {
    return option(linkToUser(profile.id), avatar(profile, "small"), profile.display_name, `@${profile.username}`);
  }

  function postOption({ id, author, content }) {
    return option(linkToPost(id), avatar(author, "small"), author.display_name, content.slice(0, MAX_POST_LABEL));
  }

  function pageOption({ href, label, iconName }) {
    return option(href, iconAvatar(iconName, "small"), label);
  }

  function option(href, image, label, hint = "") {
    return el(
      "a.row",
      { href, role: "option", tabindex: "-1", onclick: (event) => follow(event, href) },
      image,
      el(
        "span.grow",
        {},
        el("span.name.ellipsis", { dir: "auto" }, label),
        hint && el("span.muted.small.ellipsis", { dir: "auto" }, hint),
      ),
    );
  }

  function activate(index) {
    active = Math.max(0, index);
    options.forEach((each, position) => setAttr(each, "aria-selected", String(position === active)));
    setAttr(input, "aria-activedescendant", options[active]?.id);
    options[active]?.scrollIntoView({ block: "nearest" });
  }

  function onKeyDown(event) {
    if (isComposing(event)) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) activate((active + step + options.length) % options.length);
    else if (event.key === "Enter") options[active]?.click();
    else return;
    event.preventDefault();
  }

  /** Also if the address is that of the view already. */
  function follow(event, href) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.close();
    navigate(href);
  }

  const body = el("div.form", {}, el("div.search", {}, icon("search"), input), status, list);
  const dialog = showDialog(t("switcher.title"), body);
  dialog.closed.then(() => {
    clearTimeout(timer);
    query = null;
  });
  render();
}

function group([label, rows]) {
  return el("div", { role: "group", "aria-label": t(label) }, el("p.small.muted", { "aria-hidden": "true" }, t(label)), rows);
}
