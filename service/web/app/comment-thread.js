/** Comments in two levels: below each top-level comment, one indented list of all replies to it. */

import { avatar } from "./avatar.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { t } from "./i18n.js";
import { menuButton } from "./menu.js";
import { editDraftKey, editForm, ownMenuButton } from "./own-menu.js";
import { postComposer } from "./post-composer.js";
import { editedMark, postText } from "./post-text.js";
import { reactionBar } from "./reaction-bar.js";
import { reportItem } from "./report-item.js";
import { timeElement } from "./time-format.js";
import { userLink } from "./user-page.js";

export class CommentThread {
  element = el("ol.thread", { role: "list" });
  #app;
  #send;
  #changed;
  #topLevel;
  #replyForms = new Set();

  /**
   * `send(content, parentId, attachments)` posts a reply; `changed(comment)` is called after the user has changed a
   * comment.
   */
  constructor(app, send, changed) {
    this.#app = app;
    this.#send = send;
    this.#changed = changed;
    this.#topLevel = this.#createList(this.element);
  }

  close() {
    for (const form of this.#replyForms) form.close();
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

  /** Return the element of the thread that the comment is in; null if it is not shown. */
  threadOf(id) {
    const element = this.element.querySelector(`[id="comment-${CSS.escape(id)}"]`);
    return element?.closest(".thread > .comment") ?? null;
  }

  #createList(container) {
    return new KeyedList(container, {
      key: ({ comment }) => comment.id,
      create: (item) => this.#createComment(item),
      update: (element, { comment, replies }) => {
        element.show(comment);
        element.replyList?.render(replies);
      },
    });
  }

  #createComment({ comment, replyTo, replies }) {
    const { author } = comment;
    const { api, me, drafts } = this.#app;
    const isOwn = author.id === me.id;
    let shown = null;
    let form = null;
    const body = el("div", { dir: "auto" });
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
        body,
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
    const menu = isOwn
      ? ownMenuButton(t("comment.actions"), {
          edit: () => edit().focus(),
          question: t("comment.delete.question"),
          remove: async () => {
            await api.deleteComment(comment.post_id, comment.id);
            this.#changed({ id: comment.id, content: "", reactions: {}, my_reactions: [], deleted: true });
          },
        })
      : menuButton(t("comment.actions"), [reportItem(api, { kind: "comment", id: comment.id })]);
    const reactions = reactionBar(comment, async (emoji, on) => {
      const { post_id: postId, id } = comment;
      const reacted = await (on ? api.reactToComment(postId, id, emoji) : api.unreactToComment(postId, id, emoji));
      this.#changed(reacted);
      return reacted;
    });
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
      const save = async (content) => this.#changed(await api.editComment(comment.post_id, comment.id, content));
      form = editForm(this.#app, shown, save, close);
      setChildren(body, form.element);
      return form;
    };
    element.show = (changed) => {
      const before = shown;
      shown = changed;
      const isOther = before?.content !== changed.content || before?.deleted !== changed.deleted;
      if (isOther && (!form || changed.deleted)) showText();
      if (before?.edited_at !== changed.edited_at || before?.deleted !== changed.deleted) {
        const actions = changed.deleted ? [] : [replyButton, reactions.element, menu];
        setChildren(footer, timeElement(changed.created_at), editedMark(changed), actions);
      }
      reactions.show(changed);
    };
    element.show(comment);
    if (drafts.get(replyDraftKey(comment)) && !comment.deleted) this.#createReplyForm(comment, footer, replyButton);
    if (isOwn && !comment.deleted && drafts.get(editDraftKey(comment)) !== null) edit();
    return element;
  }

  #openReplyForm(comment, footer, opener) {
    if (footer.nextElementSibling?.matches(".post-composer")) return;
    this.#createReplyForm(comment, footer, opener).focus();
  }

  /** Add the form after `footer`, and return it. */
  #createReplyForm(comment, footer, opener) {
    const close = () => {
      this.#replyForms.delete(composer);
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
    this.#replyForms.add(composer);
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
