/** The element of one message. */

import { attachmentList } from "./attachment-list.js";
import { avatar } from "./avatar.js";
import { el, KeyedList, setAttr, setChildren, setText } from "./dom.js";
import { expandableText } from "./expandable-text.js";
import { icon } from "./icon.js";
import { formatList, formatNumber, t } from "./i18n.js";
import { linkToUser } from "./router.js";
import { plainText } from "./text-format.js";
import { fullDateTime, timeOfDay } from "./time-format.js";

const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}[\u{fe0f}\u{200d}\u{1f3fb}-\u{1f3ff}]*){1,6}$/u;

/** Names in the label of a reaction. The label has only the number of the others. */
export const MAX_NAMES = 10;

/** Create a message's element, without contents. `actions`: see MessageList. */
export function createMessageElement(row, actions) {
  const toSender = { href: linkToUser(row.message.sender_id), tabindex: "-1" };
  const parts = {
    avatar: el("a.avatar-slot", { ...toSender, "aria-hidden": "true" }),
    sender: row.mine ? el("span.sender") : el("a.sender", { ...toSender, dir: "auto" }),
    bubble: el("div.bubble"),
    reactions: el("div.reactions"),
    meta: el("div.meta"),
    buttons: el("div.message-actions"),
  };
  const element = el(
    "li.message",
    { tabindex: "-1" },
    !row.mine && parts.avatar,
    el("div.column", {}, parts.sender, parts.bubble, parts.reactions, parts.meta),
    parts.buttons,
  );
  element.classList.add(row.mine ? "mine" : "theirs");
  parts.reactionList = reactionList(parts.reactions, () => element.row, actions);
  setChildren(
    parts.buttons,
    actionButtons(() => element.row, actions),
  );
  element.parts = parts;
  return element;
}

/** Render `row` into `element`; `previous` is the row rendered before, undefined for a new element. */
export function updateMessageElement(element, row, previous, actions) {
  const { message } = row;
  const { avatar: avatarSlot, sender, bubble, reactionList, meta, buttons } = element.parts;
  element.row = row;
  const classes = {
    "group-start": row.firstInGroup,
    "group-end": row.lastInGroup,
    pending: (row.pending && !message.error) || (row.change && !row.change.error),
    changing: row.change,
    failed: message.error || row.change?.error,
    deleted: message.deleted,
    emoji: !message.reply_to && ONLY_EMOJI.test(message.content),
  };
  for (const [name, on] of Object.entries(classes)) element.classList.toggle(name, Boolean(on));
  if (!row.mine) setChildren(avatarSlot, row.lastInGroup && row.sender && avatar(row.sender, "small"));
  setText(sender, row.mine ? t("message.you") : nameOf(row.sender));
  sender.classList.toggle("visually-hidden", row.mine || !row.firstInGroup || !actions.isGroup());
  if (message !== previous?.message || row.quoted !== previous.quoted)
    renderBubble(bubble, row, actions, element);
  reactionList.render(Object.entries(message.reactions ?? {}).map(([emoji, users]) => reaction(message, emoji, users)));
  if (meta.status !== row.status || message !== previous?.message) setChildren(meta, metaContents(row, actions));
  meta.status = row.status;
  setAttr(buttons, "hidden", row.pending || message.deleted);
}

export function nameOf(profile) {
  return profile?.display_name ?? t("message.unknown_sender");
}

/** Return a message's text for a quote or a list. */
export function previewText(message) {
  if (message.deleted) return t("message.deleted");
  return plainText(message.content) || formatList((message.attachments ?? []).map(({ name }) => name));
}

/** `owner`: the message's element, which remembers whether a long text is expanded, and the list of its attachments. */
function renderBubble(bubble, { message, quoted }, actions, owner) {
  if (message.deleted) return setChildren(bubble, t("message.deleted"));
  const [text, showMore] = expandableText(message.content, owner);
  // With a direction of its own, the label does not count for that of the text.
  const edited = { dir: "ltr", title: message.edited_at && fullDateTime(message.edited_at) };
  const above = message.reply_to ? [quote(message, quoted, actions)] : [];
  const below = [
    (message.content || message.edited_at) &&
      el(
        "div.message-text",
        { dir: "auto" },
        text,
        message.edited_at && el("span.edited", edited, t("message.edited")),
      ),
    showMore,
  ].filter(Boolean);
  const list = keptAttachments(message, actions, owner);
  if (list?.parentElement !== bubble) return setChildren(bubble, above, list, below);
  // Not moved, with which it would lose the focus, and an enlarged image the way back to it.
  for (const child of [...bubble.childNodes]) if (child !== list) child.remove();
  list.before(...above);
  list.after(...below);
}

/** Return the list of attachments, or null. It stays the same while these are the same files. */
function keptAttachments({ attachments = [] }, actions, owner) {
  if (attachments.length === 0) return null;
  const ids = attachments.map(({ id }) => id).join();
  if (owner.attachments?.ids !== ids) owner.attachments = { ids, list: attachmentList(attachments, actions.download) };
  return owner.attachments.list;
}

function quote(message, quoted, actions) {
  return el(
    "button.quote",
    { type: "button", tabindex: "-1", title: t("message.go_to_quoted"), onclick: () => actions.goTo(message.reply_to) },
    quoted && el("span.author", { dir: "auto" }, actions.nameOf(quoted.sender_id)),
    el("span.text.ellipsis", { dir: "auto" }, quoted ? previewText(quoted) : t("message.quoted_not_loaded")),
  );
}

/** The time of the message and its delivery status; after a failure, buttons to retry and discard. */
function metaContents({ message, change, status }, actions) {
  if (status === "failed") {
    return [
      message.error?.code === "blocked" ? t("error.blocked") : t("message.failed"),
      el("button.button.link", { type: "button", onclick: () => actions.retry(message) }, t("try_again")),
      el("button.button.link", { type: "button", onclick: () => actions.discard(message) }, t("message.discard")),
    ];
  }
  if (status === "change_failed") {
    return [
      t(change.kind === "delete" ? "message.delete_failed" : "message.edit_failed"),
      el("button.button.link", { type: "button", onclick: () => actions.retryChange(change) }, t("try_again")),
      el("button.button.link", { type: "button", onclick: () => actions.discardChange(change) }, t("message.discard")),
    ];
  }
  const time = el(
    "time",
    { datetime: message.created_at, title: fullDateTime(message.created_at) },
    timeOfDay(message.created_at),
  );
  return [time, STATUS_ICONS[status]?.() ?? (status ? readStatus(status, message, actions) : null)];
}

const STATUS_ICONS = {
  sending: () =>
    el("span.delivery-status", { title: t("message.sending") }, icon("clock"), hiddenText(t("message.sending"))),
  sent: () => el("span.delivery-status", { title: t("message.sent") }, icon("check"), hiddenText(t("message.sent"))),
};

function readStatus(count, message, actions) {
  if (!actions.isGroup())
    return el("span.read", { title: t("message.read") }, icon("checks"), hiddenText(t("message.read")));
  return el(
    "button.read",
    { type: "button", tabindex: "-1", title: t("message.read_by", { count }), onclick: () => actions.showReaders(message) },
    icon("checks"),
    el("span", { "aria-hidden": "true" }, formatNumber(count)),
    hiddenText(t("message.read_by", { count })),
  );
}

function hiddenText(text) {
  return el("span.visually-hidden", {}, text);
}

/** `count` may be more than the users that the server shows. */
function reaction({ reaction_counts: counts }, emoji, users) {
  return { emoji, users, count: counts?.[emoji] ?? users.length };
}

function reactionList(container, row, actions) {
  return new KeyedList(container, {
    key: ({ emoji }) => emoji,
    create: ({ emoji }) =>
      el("button", { type: "button", tabindex: "-1", onclick: () => actions.toggleReaction(row().message, emoji) }),
    update(button, { emoji, users, count }) {
      const names = users.slice(0, MAX_NAMES).map(actions.nameOf);
      if (count > names.length) names.push(t("message.reacted.others", { count: count - names.length }));
      const label = t("message.reacted", { emoji, names: formatList(names) });
      setAttr(button, "aria-pressed", String(users.includes(actions.me)));
      setAttr(button, "aria-label", label);
      setAttr(button, "title", label);
      setChildren(button, el("span", {}, emoji), el("span", {}, formatNumber(count)));
    },
  });
}

/** Buttons for pointers. With the keyboard, Enter on the message opens the same menu. */
function actionButtons(row, actions) {
  const button = (name, label, onClick) =>
    el(
      `button.icon-button.${name}`,
      { type: "button", tabindex: "-1", title: label, "aria-label": label, onclick: onClick },
      icon(name),
    );
  return [
    button("reply", t("message.reply"), () => actions.reply(row().message)),
    button("more", t("message.actions"), (event) => actions.openMenu(event.currentTarget, row())),
  ];
}
