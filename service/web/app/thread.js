/** Comments as a thread: below each, in one indented list, everything that was said in answer to it. */

import { avatar } from "./avatar.js";
import { el, fill, KeyedList } from "./dom.js";
import { t } from "./i18n.js";
import { richText } from "./rich-text.js";
import { agoElement } from "./time.js";
import { writer } from "./writer.js";

export class Thread {
  element = el("ol.thread", { role: "list" });
  #me;
  #send;
  #top;

  /** `send(content, parentId)`: post an answer. */
  constructor(me, send) {
    this.#me = me;
    this.#send = send;
    this.#top = this.#list(this.element);
  }

  render(comments) {
    this.#top.render(branches(comments));
  }

  /** Show one and point it out. */
  show(id) {
    const element = this.element.querySelector(`[id="comment-${CSS.escape(id)}"]`);
    if (!element) return;
    for (const other of this.element.querySelectorAll(".found")) other.classList.remove("found");
    element.scrollIntoView({ block: "center" });
    element.classList.add("found");
    element.focus({ preventScroll: true });
  }

  #list(container) {
    return new KeyedList(container, {
      key: ({ comment }) => comment.id,
      create: (branch) => this.#create(branch),
      update: (element, { answers }) => element.answers?.render(answers),
    });
  }

  #create({ comment, to, answers }) {
    const { author } = comment;
    const nested = answers && el("ol", { role: "list" });
    const below = el("div.below");
    const element = el(
      "li.comment",
      { id: `comment-${comment.id}`, tabindex: "-1" },
      avatar(author, "small"),
      el(
        "div.words",
        {},
        el("p", {}, el("span.name", {}, author.display_name), to && el("span.to", {}, t("comments.to", { name: to }))),
        el("p.written", {}, comment.content ? richText(comment.content) : t("posts.deleted")),
      ),
      below,
      nested,
    );
    if (nested) element.answers = this.#list(nested);
    const reply = el(
      "button.button.link",
      { type: "button", onclick: () => this.#reply(comment, below, reply) },
      t("comments.reply"),
    );
    fill(below, agoElement(comment.created_at), reply);
    return element;
  }

  #reply(comment, below, opener) {
    if (below.nextElementSibling?.matches(".writer")) return;
    const close = () => {
      write.element.remove();
      opener.focus();
    };
    const write = writer({
      me: this.#me,
      label: t("comments.reply_to", { name: comment.author.display_name }),
      action: t("comments.reply"),
      send: async (content) => {
        await this.#send(content, comment.id);
        close();
      },
      cancel: close,
    });
    below.after(write.element);
    write.focus();
  }
}

/**
 * [{comment, answers: [{comment, to}]}]: an answer to an answer stands in the same list, and names whom it is to. A
 * comment whose parent is not loaded stands by itself.
 */
function branches(comments) {
  const byId = new Map(comments.map((comment) => [comment.id, comment]));
  const tops = new Map();
  for (const comment of comments) {
    const parent = byId.get(comment.parent_id);
    const top = parent && tops.get(topOf(parent, byId).id);
    if (!top) tops.set(comment.id, { comment, to: null, answers: [] });
    else top.answers.push({ comment, to: parent === top.comment ? null : parent.author.display_name });
  }
  return [...tops.values()];
}

function topOf(comment, byId) {
  let top = comment;
  while (byId.has(top.parent_id)) top = byId.get(top.parent_id);
  return top;
}
