/** One message in the list. */

import { avatar } from "./avatar.js";
import { el, fill, KeyedList, set, setText } from "./dom.js";
import { icon } from "./icon.js";
import { listOf, number, t } from "./i18n.js";
import { richText } from "./rich-text.js";
import { fully, timeOfDay } from "./time.js";

const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}[\u{fe0f}\u{200d}\u{1f3fb}-\u{1f3ff}]*){1,6}$/u;

/** An empty message's element. `actions`: see MessageList. */
export function createMessage(row, actions) {
  const parts = {
    portrait: el("span.portrait"),
    sender: el("span.sender"),
    bubble: el("div.bubble"),
    reactions: el("div.reactions"),
    meta: el("div.meta"),
    tools: el("div.tools"),
  };
  const element = el(
    "li.message",
    { tabindex: "-1" },
    !row.mine && parts.portrait,
    el("div.column", {}, parts.sender, parts.bubble, parts.reactions, parts.meta),
    parts.tools,
  );
  element.classList.add(row.mine ? "mine" : "theirs");
  parts.chips = reactionChips(parts.reactions, () => element.row, actions);
  fill(
    parts.tools,
    tools(() => element.row, actions),
  );
  element.parts = parts;
  return element;
}

/** Draw `row` in `element`; `before` is what it shows. */
export function updateMessage(element, row, before, actions) {
  const { message } = row;
  const { portrait, sender, bubble, chips, meta, tools } = element.parts;
  element.row = row;
  const classes = { first: row.first, last: row.last, pending: row.pending && !message.error, failed: message.error };
  for (const [name, on] of Object.entries(classes)) element.classList.toggle(name, Boolean(on));
  element.classList.toggle("deleted", Boolean(message.deleted));
  element.classList.toggle("emoji", !message.reply_to && ONLY_EMOJI.test(message.content));
  if (!row.mine) fill(portrait, row.last && row.sender && avatar(row.sender, "small"));
  setText(sender, row.mine ? t("message.you") : nameOf(row.sender));
  sender.classList.toggle("unseen", row.mine || !row.first || !actions.isGroup());
  if (message !== before?.message || row.quoted !== before.quoted) fill(bubble, contents(row, actions));
  chips.render(Object.entries(message.reactions ?? {}).map(([emoji, users]) => ({ emoji, users })));
  if (meta.status !== row.status || message !== before?.message) fill(meta, below(row, actions));
  meta.status = row.status;
  set(tools, "hidden", row.pending || message.deleted);
}

export function nameOf(profile) {
  return profile?.display_name ?? t("message.unknown");
}

/** The words of a message in one line, for a quote or a list. */
export function gist(message) {
  return message.deleted ? t("message.deleted") : message.content;
}

function contents({ message, quoted }, actions) {
  if (message.deleted) return t("message.deleted");
  return [
    message.reply_to && quote(message, quoted, actions),
    el("span.written", {}, richText(message.content)),
    message.edited_at && el("span.edited", { title: fully(message.edited_at) }, t("message.edited")),
  ];
}

function quote(message, quoted, actions) {
  return el(
    "button.quote",
    { type: "button", tabindex: "-1", title: t("message.go_to"), onclick: () => actions.goTo(message.reply_to) },
    quoted && el("span.of", {}, actions.nameOf(quoted.sender_id)),
    el("span.words.line", {}, quoted ? gist(quoted) : t("message.earlier")),
  );
}

/** When it was said, and how far it has come. */
function below({ message, status }, actions) {
  if (status === "failed") {
    return [
      t("message.failed"),
      el("button.button.link", { type: "button", onclick: () => actions.retry(message) }, t("try_again")),
      el("button.button.link", { type: "button", onclick: () => actions.discard(message) }, t("message.discard")),
    ];
  }
  const time = el(
    "time",
    { datetime: message.created_at, title: fully(message.created_at) },
    timeOfDay(message.created_at),
  );
  return [time, STATUSES[status]?.() ?? (status ? readBy(status, actions.isGroup()) : null)];
}

const STATUSES = {
  sending: () => el("span.waits", { title: t("message.sending") }, icon("clock"), unseen(t("message.sending"))),
  sent: () => el("span.waits", { title: t("message.sent") }, icon("check"), unseen(t("message.sent"))),
};

function readBy(count, isGroup) {
  if (!isGroup) return el("span.read", { title: t("message.read") }, icon("checks"), unseen(t("message.read")));
  return el(
    "span.read",
    { title: t("message.read_by", { count }) },
    icon("checks"),
    el("span", { "aria-hidden": "true" }, number(count)),
    unseen(t("message.read_by", { count })),
  );
}

function unseen(text) {
  return el("span.unseen", {}, text);
}

function reactionChips(container, row, actions) {
  return new KeyedList(container, {
    key: ({ emoji }) => emoji,
    create: ({ emoji }) => el("button", { type: "button", tabindex: "-1", onclick: () => actions.react(row(), emoji) }),
    update(button, { emoji, users }) {
      const names = t("message.reacted", { emoji, names: listOf(users.map(actions.nameOf)) });
      set(button, "aria-pressed", String(users.includes(actions.me)));
      set(button, "aria-label", names);
      set(button, "title", names);
      fill(button, el("span", {}, emoji), el("span", {}, number(users.length)));
    },
  });
}

/** For a pointer; by keyboard, Enter on the message opens the same menu. */
function tools(row, actions) {
  const tool = (name, label, act) =>
    el(
      `button.icon-button.${name}`,
      { type: "button", tabindex: "-1", title: label, "aria-label": label, onclick: act },
      icon(name),
    );
  return [
    tool("reply", t("message.reply"), () => actions.reply(row().message)),
    tool("more", t("message.actions"), (event) => actions.openMenu(event.currentTarget, row())),
  ];
}
