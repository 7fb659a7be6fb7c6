/** The card of a post. */

import { avatar } from "./avatar.js";
import { el } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { postText } from "./post-text.js";
import { timeElement } from "./time-format.js";

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
      el("div", {}, el("p.name", { dir: "auto" }, author.display_name), el("p", {}, timeElement(post.created_at))),
    ),
    el("div", { dir: "auto" }, postText(post.content)),
    withCommentLink &&
      el("footer", {}, el("a.button.plain", { href: `#/posts/${post.id}` }, icon("comment"), commentCount)),
  );
}
