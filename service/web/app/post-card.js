/** A post. */

import { avatar } from "./avatar.js";
import { el } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { richText } from "./rich-text.js";
import { agoElement } from "./time.js";

/** In a feed its words and its comments lead to it; `alone` it is shown whole. */
export function postCard(post, { alone = false } = {}) {
  const { author } = post;
  const count = t("posts.comments", { count: post.comment_count });
  return el(
    "article.card.post",
    { "aria-label": t("post.title", { name: author.display_name }) },
    el(
      "header.byline",
      {},
      avatar(author),
      el("div", {}, el("p.name", {}, author.display_name), el("p", {}, agoElement(post.created_at))),
    ),
    el("p.written", {}, post.content ? richText(post.content) : t("posts.deleted")),
    !alone && el("footer", {}, el("a.button.plain", { href: `#/posts/${post.id}` }, icon("comment"), count)),
  );
}
