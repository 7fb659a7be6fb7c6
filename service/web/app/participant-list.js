/** The list of a conversation's participants, loaded page by page, with what the user may do with each of them. */

import { avatar } from "./avatar.js";
import { keepCurrent } from "./clock.js";
import { presenceText } from "./conversation-labels.js";
import { confirm } from "./dialog.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { openMenu } from "./menu.js";
import { showToast } from "./toast.js";
import { userLink } from "./user-page.js";

export class ParticipantList {
  element;
  #app;
  #conversationId;
  #list;
  #more;
  /** The participants of the loaded pages: {user, role}. */
  #items = [];
  #next = null;
  /** What was loaded is of these details. */
  #details = null;
  /** The rows of the last rendering, by user id. */
  #rows = new Map();
  #observer;

  constructor(app, conversationId) {
    this.#app = app;
    this.#conversationId = conversationId;
    const list = el("ul.rows", { role: "list", "aria-label": t("details.people") });
    this.#list = new KeyedList(list, {
      key: ({ id }) => id,
      create: ({ id }) => this.#createRow(id),
      update: (element, row) => setChildren(element, this.#rowContents(row)),
    });
    // Until the first page is loaded, the profiles that are missing are loaded as their rows come into view.
    this.#observer = new IntersectionObserver((entries) => {
      app.profiles.load(entries.filter((entry) => entry.isIntersecting).map(({ target }) => target.dataset.user));
    });
    this.#more = loadMoreButton(() => this.#loadNext());
    this.element = el("div", {}, list, this.#more.element);
  }

  close() {
    this.#observer.disconnect();
    this.#more.close();
  }

  /** The ids of the participants that are known. */
  get ids() {
    const loaded = this.#items.map(({ user }) => user.id);
    return [...new Set([...loaded, ...(this.#details?.participant_ids ?? [])])];
  }

  /** `details` of the conversation; null if the user is not in it. */
  render(details) {
    if (details !== this.#details) {
      this.#details = details;
      this.#reload();
    }
    this.#render();
  }

  /** Load what has been loaded before again, and at least the first page: roles and participants may have changed. */
  async #reload() {
    const details = this.#details;
    const wanted = this.#items.length || 1;
    const items = [];
    let next = null;
    try {
      do {
        const page = await this.#app.api.participants(this.#conversationId, { after: next });
        items.push(...page.items);
        next = page.next;
      } while (next && items.length < wanted);
    } catch {
      // The list remains as it was; the next change, or the next opening, loads it.
      return;
    }
    if (details !== this.#details) return;
    this.#items = items;
    this.#next = next;
    this.#render();
  }

  async #loadNext() {
    const details = this.#details;
    const page = await this.#app.api.participants(this.#conversationId, { after: this.#next });
    if (details !== this.#details) return;
    this.#items = [...this.#items, ...page.items];
    this.#next = page.next;
    this.#render();
  }

  #render() {
    const { me } = this.#app;
    const { people, presence } = this.#app.getState();
    const details = this.#details;
    const known = this.#items.length
      ? this.#items
      : details.participant_ids.map((id) => ({ user: people[id] ?? unknownProfile(id), role: "member" }));
    const rows = known.map(({ user, role }) =>
      this.#unchanged({
        id: user.id,
        profile: people[user.id] ?? user,
        presence: user.id === me.id ? undefined : presence[user.id],
        role: user.id === details.owner_id ? "owner" : role,
        ownRole: user.id === me.id || details.kind !== "group" ? "member" : details.role,
      }),
    );
    this.#list.render(rows);
    this.#more.setHasMore(this.#next !== null);
  }

  /** Return the row of the last rendering if it was the same: it is then not rendered again. */
  #unchanged(row) {
    const known = this.#rows.get(row.id);
    if (known && Object.keys(row).every((name) => row[name] === known[name])) return known;
    this.#rows.set(row.id, row);
    return row;
  }

  #createRow(id) {
    const row = el("li.row", { "data-user": id });
    this.#observer.observe(row);
    return row;
  }

  #rowContents({ profile, presence, role, ownRole }) {
    const roleText = role === "owner" ? t("details.owner") : role === "admin" && t("details.admin");
    const info = () =>
      [this.#details.kind === "group" && roleText, presenceText(presence)].filter(Boolean).join(" · ") ||
      (profile.username && `@${profile.username}`);
    const name = profile.display_name;
    const isOwner = ownRole === "owner";
    const setRole = (newRole) => () =>
      this.#change(() => this.#app.api.setRole(this.#conversationId, profile.id, newRole));
    const items = [
      isOwner && role === "member" && { label: t("details.make_admin"), icon: "people", action: setRole("admin") },
      isOwner && role === "admin" && { label: t("details.end_admin"), icon: "people", action: setRole("member") },
      isOwner && { label: t("details.hand_over"), icon: "people", action: () => this.#handOver(name, setRole("owner")) },
      (isOwner || (ownRole === "admin" && role === "member")) && {
        label: t("details.remove", { name }),
        icon: "close",
        danger: true,
        action: () => this.#remove(profile),
      },
    ].filter(Boolean);
    const label = t("details.options", { name });
    const button = el(
      "button.icon-button",
      { type: "button", "aria-label": label, "aria-haspopup": "menu", onclick: () => openMenu(button, label, items) },
      icon("more"),
    );
    return [
      avatar(profile, "small"),
      el(
        "div.grow",
        {},
        el("p.ellipsis", {}, userLink(profile)),
        keepCurrent(el("p.muted.small.ellipsis"), info),
      ),
      items.length > 0 && button,
    ];
  }

  async #handOver(name, setOwner) {
    if (await confirm(t("details.hand_over.question", { name }), t("details.hand_over"))) await setOwner();
  }

  async #remove({ id, display_name: name }) {
    if (!(await confirm(t("details.remove.question", { name }), t("details.remove.confirm")))) return;
    await this.#change(() => this.#app.api.removeParticipant(this.#conversationId, id));
  }

  async #change(request) {
    try {
      await request();
    } catch (error) {
      showToast(errorText(error));
    }
  }
}

/** A profile that is being loaded. */
function unknownProfile(id) {
  return { id, display_name: t("message.unknown_sender"), username: "", avatar: null };
}
