/** The card of a report, with what a moderator can do about it. */

import { avatar } from "./avatar.js";
import { openBanDialog } from "./ban-dialog.js";
import { confirm } from "./dialog.js";
import { el } from "./dom.js";
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

/** `onClosed()` is called once the report is closed. */
export function reportCard(app, report, onClosed) {
  const { api, me } = app;
  const { author, reporter, subject, snapshot } = report;
  const about = t(ABOUT[subject.kind], { name: author.display_name });
  const link = linkToSubject(subject);

  const actionButton = (selector, label, action) => {
    const button = el(selector, { type: "button", onclick: () => run() }, label);
    const run = async () => {
      if (button.getAttribute("aria-disabled")) return;
      // Not `disabled`, with which the button would lose the focus.
      button.setAttribute("aria-disabled", "true");
      try {
        await action();
      } catch (error) {
        showToast(errorText(error));
      }
      button.removeAttribute("aria-disabled");
    };
    return button;
  };
  const closeAs = (state) => async () => {
    await api.setReportState(report.id, state);
    onClosed();
  };
  const remove = async () => {
    if (!(await confirm(t("moderation.delete.question"), t("own.delete")))) return;
    await deleteSubject(api, subject);
    showToast(t("moderation.deleted"));
  };

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
    report.note && el("p.user-text", { dir: "auto" }, report.note),
    el(
      "footer",
      {},
      actionButton("button.button.primary", t("moderation.resolve"), closeAs("resolved")),
      actionButton("button.button", t("moderation.dismiss"), closeAs("dismissed")),
      subject.kind !== "user" && actionButton("button.button.danger", t("own.delete"), remove),
      author.id !== me.id && actionButton("button.button.danger", t("moderation.ban"), () => openBanDialog(api, author)),
      link && el("a.button.plain", { href: link }, t("moderation.show")),
    ),
  );
}

function deleteSubject(api, { kind, id, conversation_id: conversationId, post_id: postId }) {
  if (kind === "message") return api.deleteMessage(conversationId, id);
  return kind === "post" ? api.deletePost(id) : api.deleteComment(postId, id);
}
