/** The log of what moderators have done. */

import { showDialog } from "./dialog.js";
import { el } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { linkToSubject } from "./router.js";
import { fullDateTime, timeElement } from "./time-format.js";
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

export function openModerationLog(api) {
  const list = el("ul.rows", { role: "list" });
  const status = el("p.muted", { role: "status" });
  const more = loadMoreButton(load);
  let before = null;

  async function load() {
    const { items, next } = await api.moderationLog({ before });
    before = next;
    list.append(...items.map(createRow));
    status.textContent = list.children.length > 0 ? "" : t("moderation.log.none");
    more.setHasMore(Boolean(next));
  }

  const dialog = showDialog(t("moderation.log"), el("div.form", {}, list, status, more.element));
  dialog.closed.then(() => more.close());
  load().catch((error) => (status.textContent = errorText(error)));
}

function createRow({ at, by, action, subject, reason, until }) {
  const text = t(ACTIONS[action], { kind: t(KINDS[subject.kind]) });
  const link = linkToSubject(subject);
  const end = until ? t("moderation.log.until", { when: fullDateTime(until) }) : t("moderation.ban.ever");
  const details = [action === "ban" && end, reason].filter(Boolean).join(" · ");
  return el(
    "li.row",
    {},
    el(
      "div.grow",
      {},
      el("p", {}, link ? el("a", { href: link }, text) : text),
      details && el("p", { dir: "auto" }, details),
      el("p.muted.small", {}, by ? userLink(by) : t("moderation.log.operator"), " · ", timeElement(at)),
    ),
  );
}
