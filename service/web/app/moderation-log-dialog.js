/** The log of what moderators have done. */

import { endBan } from "./ban-dialog.js";
import { whileBusy } from "./busy-button.js";
import { showDialog } from "./dialog.js";
import { el, setText } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { nameOf } from "./message-bubble.js";
import { linkToSubject, linkToUser } from "./router.js";
import { fullDateTime, timeElement } from "./time-format.js";
import { showToast } from "./toast.js";
import { userLink } from "./user-page.js";

const ACTIONS = {
  grant: "moderation.log.grant",
  revoke: "moderation.log.revoke",
  resolve: "moderation.log.resolve",
  dismiss: "moderation.log.dismiss",
  reopen: "moderation.log.reopen",
  delete: "moderation.log.delete",
  ban: "moderation.log.ban",
  unban: "moderation.log.unban",
};
const KINDS = {
  user: "moderation.kind.user",
  message: "moderation.kind.message",
  post: "moderation.kind.post",
  comment: "moderation.kind.comment",
};
/** What the operator's commands grant and revoke: the log has it as the reason. */
const ROLES = { moderator: "moderation.role.moderator" };

export function openModerationLog(app) {
  const { api } = app;
  const list = el("ul.rows", { role: "list" });
  const status = el("p.muted", { role: "status" }, t("loading"));
  const more = loadMoreButton(load);
  let before = null;
  /** The users whose latest ban, or end of one, has been listed: what is below has no effect any more. */
  const decided = new Set();
  const unsubscribe = app.profiles.subscribe(showNames);

  async function load() {
    const { items, next } = await api.moderationLog({ before });
    before = next;
    app.profiles.load(items.filter(({ subject }) => subject.kind === "user").map(({ subject }) => subject.id));
    list.append(...items.map((entry) => createRow(entry, endOfBan(entry))));
    showNames();
    status.textContent = list.children.length > 0 ? "" : t("moderation.log.none");
    more.setHasMore(Boolean(next));
  }

  /** Return the button that ends the ban; null if the entry is no ban that is in force. */
  function endOfBan({ action, subject, until }) {
    if ((action !== "ban" && action !== "unban") || decided.has(subject.id)) return null;
    decided.add(subject.id);
    if (action === "unban" || (until && Date.parse(until) < Date.now())) return null;
    const end = async () => {
      const { people } = app.getState();
      await endBan(api, { id: subject.id, display_name: nameOf(people[subject.id]) });
      button.remove();
      dialog.focus();
    };
    const run = () => whileBusy(button, end).catch((error) => showToast(errorText(error)));
    const button = el("button.button", { type: "button", onclick: run }, t("moderation.unban"));
    return button;
  }

  function showNames() {
    const { people } = app.getState();
    for (const link of list.querySelectorAll("a[data-user]")) setText(link, nameOf(people[link.dataset.user]));
  }

  const dialog = showDialog(t("moderation.log"), el("div.form", {}, list, status, more.element));
  dialog.closed.then(() => {
    unsubscribe();
    more.close();
  });
  load().catch((error) => (status.textContent = errorText(error)));
}

/** `button`: what can be done about it, or null. */
function createRow({ at, by, action, subject, reason, until }, button) {
  const text = t(ACTIONS[action], { kind: t(KINDS[subject.kind]) });
  const isUser = subject.kind === "user";
  const link = isUser ? null : linkToSubject(subject);
  const end = until ? t("moderation.log.until", { when: fullDateTime(until) }) : t("moderation.ban.ever");
  const isRole = (action === "grant" || action === "revoke") && Object.hasOwn(ROLES, reason);
  const details = [action === "ban" && end, isRole ? t(ROLES[reason]) : reason].filter(Boolean).join(" · ");
  return el(
    "li.row",
    {},
    el(
      "div.grow",
      {},
      el("p", {}, link ? el("a", { href: link }, text) : text),
      isUser && el("p", {}, el("a.name", { href: linkToUser(subject.id), "data-user": subject.id, dir: "auto" })),
      details && el("p", { dir: "auto" }, details),
      el("p.muted.small", {}, by ? userLink(by) : t("moderation.log.operator"), " · ", timeElement(at)),
    ),
    button,
  );
}
