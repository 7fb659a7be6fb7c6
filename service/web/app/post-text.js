/** The text of a post or comment. */

import { expandableText } from "./expandable-text.js";
import { t } from "./i18n.js";

/** Return the nodes of the text; deleted content is empty. */
export function postText(content) {
  return content ? expandableText(content, {}) : t("posts.deleted");
}
