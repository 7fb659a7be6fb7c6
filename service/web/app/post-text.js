/** The text and the attachments of a post or comment. */

import { attachmentList } from "./attachment-list.js";
import { el } from "./dom.js";
import { expandableText } from "./expandable-text.js";
import { t } from "./i18n.js";
import { fullDateTime } from "./time-format.js";

/** Return the nodes of a post or comment; a deleted one has neither a text nor attachments. */
export function postText({ content, attachments = [], deleted = false }, api) {
  const download = (id, part) => api.attachment(id, part);
  const files = !deleted && attachments.length > 0 && attachmentList(attachments, download);
  if (!content && !files) return t("posts.deleted");
  return [content && expandableText(content, {}), files];
}

/** Return the mark of a post or comment that was edited, or null. */
export function editedMark({ edited_at: editedAt, deleted }) {
  if (!editedAt || deleted) return null;
  return el("span.muted.edited-mark", { title: fullDateTime(editedAt) }, t("message.edited"));
}
