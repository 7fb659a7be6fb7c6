/** The card of a post. */

import { avatar } from "./avatar.js";
import { el } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { postText } from "./post-text.js";
import { reactionBar } from "./reaction-bar.js";
import { timeElement } from "./time-format.js";
import { userLink } from "./user-page.js";

/**
 * `withCommentLink`: whether the card links to the post's page. The element's `showReactions(post)` shows changed ones,
 * `refreshReactions(load)` those of the post that `load()` resolves to.
 */
export function postCard(api, post, { withCommentLink = true } = {}) {
  const { author } = post;
  const commentCount = t("posts.comments", { count: post.comment_count });
  const reactions = reactionBar(post, (emoji, on) =>
    on ? api.reactToPost(post.id, emoji) : api.unreactToPost(post.id, emoji),
  );
  const element = el(
    "article.card.post",
    { "aria-label": t("post.title", { name: author.display_name }) },
    el(
      "header.byline",
      {},
      avatar(author),
      el("div", {}, el("p", {}, userLink(author)), el("p", {}, timeElement(post.created_at))),
    ),
    el("div", { dir: "auto" }, postText(post, api)),
    el(
      "footer",
      {},
      reactions.element,
      withCommentLink && el("a.button.plain", { href: `#/posts/${post.id}` }, icon("comment"), commentCount),
    ),
  );
  element.showReactions = reactions.show;
  element.refreshReactions = reactions.refresh;
  return element;
}
