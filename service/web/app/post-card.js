/** The card of a post. */

import { avatar } from "./avatar.js";
import { el } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { linkify } from "./linkify.js";
import { relativeTimeElement } from "./time-format.js";

/** `withCommentLink`: whether the card links to the post's page. */
export function postCard(post, { withCommentLink = true } = {}) {
  const { author } = post;
  const commentCount = t("posts.comments", { count: post.comment_count });
  return el(
    "article.card.post",
    { "aria-label": t("post.title", { name: author.display_name }) },
    el(
      "header.byline",
      {},
      avatar(author),
      el("div", {}, el("p.name", {}, author.display_name), el("p", {}, relativeTimeElement(post.created_at))),
    ),
    el("p.user-text", {}, post.content ? linkify(post.content) : t("posts.deleted")),
    withCommentLink &&
      el("footer", {}, el("a.button.plain", { href: `#/posts/${post.id}` }, icon("comment"), commentCount)),
  );
}
