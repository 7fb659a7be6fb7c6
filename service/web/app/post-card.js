/** The card of a post. */

import { avatar } from "./avatar.js";
import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { menuButton } from "./menu.js";
import { editDraftKey, editForm, ownMenuButton } from "./own-menu.js";
import { editedMark, postText } from "./post-text.js";
import { reactionBar } from "./reaction-bar.js";
import { reportItem } from "./report-item.js";
import { timeElement } from "./time-format.js";
import { userLink } from "./user-page.js";

/**
 * `withCommentLink`: whether the card links to the post's page. `onChanged(post)` is called after the user has changed
 * the post, `onDeleted()` after they have deleted it. The element's `show(post)` shows a changed one, `refresh(load)` the
 * post that `load()` resolves to.
 */
export function postCard(app, post, { withCommentLink = true, onChanged, onDeleted }) {
  const { api, me, drafts } = app;
  const { author } = post;
  const isOwn = author.id === me.id;
  let shown = null;
  let form = null;
  const reactions = reactionBar(post, async (emoji, on) => {
    const reacted = await (on ? api.reactToPost(post.id, emoji) : api.unreactToPost(post.id, emoji));
    onChanged(reacted);
    return reacted;
  });
  const time = el("p");
  const body = el("div", { dir: "auto" });
  const commentCount = el("span");
  const menu = isOwn
    ? ownMenuButton(t("post.actions"), {
        edit: () => edit().focus(),
        question: t("post.delete.question"),
        remove: async () => {
          await api.deletePost(post.id);
          onDeleted();
        },
      })
    : menuButton(t("post.actions"), [reportItem(api, { kind: "post", id: post.id })]);
  const element = el(
    "article.card.post",
    { "aria-label": t("post.title", { name: author.display_name }) },
    el("header.byline", {}, avatar(author), el("div", {}, el("p", {}, userLink(author)), time), menu),
    body,
    el(
      "footer",
      {},
      reactions.element,
      withCommentLink && el("a.button.plain", { href: `#/posts/${post.id}` }, icon("comment"), commentCount),
    ),
  );
  const showText = () => {
    form = null;
    setChildren(body, postText(shown, api));
  };
  const edit = () => {
    if (form) return form;
    const close = () => {
      showText();
      menu.focus();
    };
    form = editForm(app, shown, async (content) => onChanged(await api.editPost(post.id, content)), close);
    setChildren(body, form.element);
    return form;
  };
  element.show = (changed) => {
    const before = shown;
    shown = changed;
    if (before?.edited_at !== changed.edited_at)
      setChildren(time, timeElement(changed.created_at), editedMark(changed));
    if (before?.content !== changed.content && !form) showText();
    if (before?.comment_count !== changed.comment_count)
      setChildren(commentCount, t("posts.comments", { count: changed.comment_count }));
    reactions.show(changed);
  };
  element.refresh = async (load) => {
    let loaded;
    await reactions.refresh(async () => (loaded = await load()));
    element.show({ ...loaded, my_reactions: reactions.shown.my_reactions, reactions: reactions.shown.reactions });
  };
  element.show(post);
  if (isOwn && drafts.get(editDraftKey(post)) !== null) edit();
  return element;
}
