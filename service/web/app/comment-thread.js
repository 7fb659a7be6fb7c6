/** Comments in two levels: below each top-level comment, one indented list of all replies to it. */

import { avatar } from "./avatar.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { t } from "./i18n.js";
import { postComposer } from "./post-composer.js";
import { postText } from "./post-text.js";
import { reactionBar } from "./reaction-bar.js";
import { timeElement } from "./time-format.js";
import { userLink } from "./user-page.js";

export class CommentThread {
  element = el("ol.thread", { role: "list" });
  #app;
  #send;
  #topLevel;

  /** `send(content, parentId, attachments)` posts a reply. */
  constructor(app, send) {
    this.#app = app;
    this.#send = send;
    this.#topLevel = this.#createList(this.element);
  }

  render(comments) {
    this.#topLevel.render(groupByThread(comments));
  }

  /** Scroll to a comment and highlight it. */
  scrollTo(id) {
    const element = this.element.querySelector(`[id="comment-${CSS.escape(id)}"]`);
    if (!element) return;
    for (const other of this.element.querySelectorAll(".highlighted")) other.classList.remove("highlighted");
    element.scrollIntoView({ block: "center" });
    element.classList.add("highlighted");
    element.focus({ preventScroll: true });
  }

  #createList(container) {
    return new KeyedList(container, {
      key: ({ comment }) => comment.id,
      create: (item) => this.#createComment(item),
      update: (element, { comment, replies }) => {
        element.showReactions(comment);
        element.replyList?.render(replies);
      },
    });
  }

  #createComment({ comment, replyTo, replies }) {
    const { author } = comment;
    const nested = replies && el("ol", { role: "list" });
    const footer = el("div.comment-footer");
    const element = el(
      "li.comment",
      { id: `comment-${comment.id}`, tabindex: "-1" },
      avatar(author, "small"),
      el(
        "div.text",
        {},
        el(
          "p",
          {},
          userLink(author),
          replyTo && el("span.reply-to", { dir: "auto" }, t("comments.in_reply_to", { name: replyTo })),
        ),
        el("div", { dir: "auto" }, postText(comment, this.#app.api)),
      ),
      footer,
      nested,
    );
    if (nested) element.replyList = this.#createList(nested);
    const replyButton = el(
      "button.button.link",
      { type: "button", onclick: () => this.#openReplyForm(comment, footer, replyButton) },
      t("comments.reply"),
    );
    const { api } = this.#app;
    const reactions = reactionBar(comment, (emoji, on) =>
      on
        ? api.reactToComment(comment.post_id, comment.id, emoji)
        : api.unreactToComment(comment.post_id, comment.id, emoji),
    );
    element.showReactions = (changed) => changed !== comment && reactions.show(changed);
    setChildren(footer, timeElement(comment.created_at), replyButton, reactions.element);
    if (this.#app.drafts.get(replyDraftKey(comment))) this.#createReplyForm(comment, footer, replyButton);
    return element;
  }

  #openReplyForm(comment, footer, opener) {
    if (footer.nextElementSibling?.matches(".post-composer")) return;
    this.#createReplyForm(comment, footer, opener).focus();
  }

  /** Add the form after `footer`, and return it. */
  #createReplyForm(comment, footer, opener) {
    const close = () => {
      composer.element.remove();
      opener.focus();
    };
    const composer = postComposer({
      app: this.#app,
      draftKey: replyDraftKey(comment),
      label: t("comments.reply_to", { name: comment.author.display_name }),
      submitLabel: t("comments.reply"),
      send: async (content, attachments) => {
        await this.#send(content, comment.id, attachments);
        close();
      },
      onCancel: close,
    });
    footer.after(composer.element);
    return composer;
  }
}

function replyDraftKey({ id }) {
  return `reply:${id}`;
}

/**
 * Return [{comment, replies: [{comment, replyTo}]}]. A reply to a reply is in the same list, and `replyTo` is the name
 * of the author it replies to. A comment whose parent is not loaded counts as top-level.
 */
function groupByThread(comments) {
  const byId = new Map(comments.map((comment) => [comment.id, comment]));
  const threads = new Map();
  for (const comment of comments) {
    const parent = byId.get(comment.parent_id);
    const thread = parent && threads.get(topLevelOf(parent, byId).id);
    if (!thread) threads.set(comment.id, { comment, replyTo: null, replies: [] });
    else thread.replies.push({ comment, replyTo: parent === thread.comment ? null : parent.author.display_name });
  }
  return [...threads.values()];
}

function topLevelOf(comment, byId) {
  let top = comment;
  while (byId.has(top.parent_id)) top = byId.get(top.parent_id);
  return top;
}
