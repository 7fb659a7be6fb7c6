/** The card of a report, with what a moderator can do about it. */

import { attachmentList } from "./attachment-list.js";
import { avatar } from "./avatar.js";
import { endBan, openBanDialog } from "./ban-dialog.js";
import { whileBusy } from "./busy-button.js";
import { confirm } from "./dialog.js";
import { el, setChildren } from "./dom.js";
import { expandableText } from "./expandable-text.js";
import { errorText, t } from "./i18n.js";
import { linkToSubject, linkToUser } from "./router.js";
import { timeElement } from "./time-format.js";
import { showToast } from "./toast.js";
import { userLink } from "./user-page.js";

const ABOUT = {
  user: "moderation.about.user",
  message: "moderation.about.message",
  post: "moderation.about.post",
  comment: "moderation.about.comment",
};
const REASONS = { spam: "report.spam", abuse: "report.abuse", other: "report.other" };

/** `onChanged()` is called once the report has another state. */
export function reportCard(app, report, onChanged) {
  const { api, me } = app;
  const { author, reporter, subject, snapshot } = report;
  const about = t(ABOUT[subject.kind], { name: author.display_name });
  const link = linkToSubject(subject);

  const actionButton = (selector, label, action) => {
    const run = () => whileBusy(button, action).catch((error) => showToast(errorText(error)));
    const button = el(selector, { type: "button", onclick: run }, label);
    return button;
  };
  /** Offer what is left to do, after a ban or its end in this view: the report does not say whether there is one. */
  const bans = el("span.row");
  const offerBan = () => openBanDialog(api, author, showBanned);
  const unban = async () => {
    await endBan(api, author);
    setChildren(bans, actionButton("button.button.danger", t("moderation.ban"), offerBan));
    bans.firstChild.focus();
  };
  const showBanned = () => {
    setChildren(
      bans,
      actionButton("button.button.danger", t("moderation.ban"), offerBan),
      actionButton("button.button", t("moderation.unban"), unban),
    );
    bans.lastChild.focus();
  };
  const setState = (state) => async () => {
    await api.setReportState(report.id, state);
    onChanged();
  };
  const remove = async () => {
    if (!(await confirm(t("moderation.delete.question"), t("own.delete")))) return;
    await deleteSubject(api, subject);
    showToast(t("moderation.deleted"));
  };

  setChildren(bans, actionButton("button.button.danger", t("moderation.ban"), offerBan));
  return el(
    "article.card.report",
    { "aria-label": about },
    el(
      "header.byline",
      {},
      avatar(author),
      el("div", {}, el("p", {}, userLink(author)), el("p", { dir: "auto" }, about)),
    ),
    snapshot.profile && el("p.muted", { dir: "ltr" }, `@${snapshot.profile.username}`),
    snapshot.content && el("blockquote", { dir: "auto" }, expandableText(snapshot.content, {})),
    snapshot.attachments.length > 0 && attachmentList(snapshot.attachments, (id, part) => api.attachment(id, part)),
    // Of a report from before files were kept.
    !snapshot.content &&
      !snapshot.attachments.length &&
      subject.kind !== "user" &&
      el("p.muted", {}, t("moderation.only_files")),
    el(
      "p",
      {},
      el("strong", {}, t(REASONS[report.reason])),
      " · ",
      el(
        "a.name",
        { href: linkToUser(reporter.id), dir: "auto" },
        t("moderation.reported_by", { name: reporter.display_name }),
      ),
      " · ",
      timeElement(report.created_at),
    ),
    report.closed_by &&
      el(
        "p.muted.small",
        { dir: "auto" },
        t("moderation.closed_by", { name: report.closed_by.display_name }),
        " · ",
        timeElement(report.closed_at),
      ),
    report.note && el("p.user-text", { dir: "auto" }, report.note),
    el(
      "footer",
      {},
      report.state === "open"
        ? [
            actionButton("button.button.primary", t("moderation.resolve"), setState("resolved")),
            actionButton("button.button", t("moderation.dismiss"), setState("dismissed")),
          ]
        : actionButton("button.button.primary", t("moderation.reopen"), setState("open")),
      subject.kind !== "user" && actionButton("button.button.danger", t("own.delete"), remove),
      author.id !== me.id && bans,
      link && el("a.button.plain", { href: link }, t("moderation.show")),
    ),
  );
}

function deleteSubject(api, { kind, id, conversation_id: conversationId, post_id: postId }) {
  if (kind === "message") return api.deleteMessage(conversationId, id);
  return kind === "post" ? api.deletePost(id) : api.deleteComment(postId, id);
}
