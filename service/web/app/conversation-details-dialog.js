/** The details of a conversation: its participants and, for a group, what participants can change. */

import { avatar } from "./avatar.js";
import { keepCurrent } from "./clock.js";
import { conversationName, presenceText } from "./conversation-labels.js";
import { confirm, showDialog } from "./dialog.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { createForm, Field } from "./form.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { openAddPeopleDialog } from "./new-chat-dialog.js";
import { hasLength } from "./text.js";
import { showToast } from "./toast.js";

export function openConversationDetails(app, conversationId) {
  const { api, store, me } = app;
  const list = el("ul.rows", { role: "list", "aria-label": t("details.people") });
  const participants = new KeyedList(list, {
    key: ({ id }) => id,
    create: ({ id }) => observed(el("li.row", { "data-user": id })),
    update: (element, row) => setChildren(element, rowContents(row)),
  });
  // A group may be large: the profiles that are missing are loaded as their rows come into view.
  const observer = new IntersectionObserver((entries) => {
    app.profiles.load(entries.filter((entry) => entry.isIntersecting).map(({ target }) => target.dataset.user));
  });
  const rows = new Map();
  const details = () => store.getSnapshot().conversations[conversationId]?.details;
  const isGroup = details().kind === "group";

  const dialog = showDialog(
    conversationName(details(), me.id),
    el("div.form", {}, isGroup && renameForm(), el("h3", {}, t("details.people")), list),
    isGroup
      ? [
          el("button.button.danger", { type: "button", onclick: () => leave() }, t("details.leave")),
          el("button.button", { type: "button", onclick: () => addPeople() }, t("details.add")),
        ]
      : [],
  );
  const unsubscribers = [store.subscribe(render), app.profiles.subscribe(render), () => observer.disconnect()];
  dialog.closed.then(() => unsubscribers.forEach((unsubscribe) => unsubscribe()));
  render();

  function observed(element) {
    observer.observe(element);
    return element;
  }

  function render() {
    const current = details();
    if (!current) {
      dialog.close();
      return;
    }
    dialog.setTitle(conversationName(current, me.id));
    const { people: profiles, presence } = app.getState();
    const canRemove = isGroup && current.owner_id === me.id;
    participants.render(
      current.participant_ids.map((id) =>
        unchangedRow({
          id,
          profile: profiles[id],
          presence: id === me.id ? undefined : presence[id],
          isOwner: isGroup && id === current.owner_id,
          removable: canRemove && id !== me.id,
        }),
      ),
    );
  }

  /** Return the row of the last rendering if it was the same: it is then not rendered again. */
  function unchangedRow(row) {
    const known = rows.get(row.id);
    if (known && Object.keys(row).every((name) => row[name] === known[name])) return known;
    rows.set(row.id, row);
    return row;
  }

  function rowContents({ id, profile = unknownProfile(id), presence, isOwner, removable }) {
    const info = () =>
      [isOwner && t("details.owner"), presenceText(presence)].filter(Boolean).join(" · ") ||
      (profile.username && `@${profile.username}`);
    return [
      avatar(profile, "small"),
      el(
        "div.grow",
        {},
        el("p.ellipsis", { dir: "auto" }, profile.display_name),
        keepCurrent(el("p.muted.small.ellipsis"), info),
      ),
      removable &&
        el(
          "button.icon-button",
          {
            type: "button",
            "aria-label": t("details.remove", { name: profile.display_name }),
            onclick: () => remove(profile.id),
          },
          icon("close"),
        ),
    ];
  }

  function renameForm() {
    const field = new Field("title", (value) => hasLength(value, 1, 100), {
      value: details().title ?? "",
      autocapitalize: "sentences",
    });
    return createForm([field], t("details.rename"), async ({ title }) => {
      await api.renameConversation(conversationId, title.trim());
      showToast(t("saved"));
    });
  }

  function addPeople() {
    openAddPeopleDialog(api, details().participant_ids, (ids) => api.addParticipants(conversationId, ids));
  }

  /** Resolves to whether the user was removed. */
  async function remove(userId) {
    try {
      await api.removeParticipant(conversationId, userId);
      return true;
    } catch (error) {
      showToast(errorText(error));
      return false;
    }
  }

  async function leave() {
    if (!(await confirm(t("details.leave.question"), t("details.leave")))) return;
    dialog.close();
    app.leaving.add(conversationId);
    if (!(await remove(me.id))) app.leaving.delete(conversationId);
  }
}

/** A profile that is being loaded. */
function unknownProfile(id) {
  return { id, display_name: t("message.unknown_sender"), username: "", avatar: null };
}
