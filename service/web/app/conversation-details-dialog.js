/** The details of a conversation: its participants and, for a group, what participants can change. */

import { avatar } from "./avatar.js";
import { conversationName, presenceText } from "./conversation-labels.js";
import { confirm, showDialog } from "./dialog.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { createForm, Field } from "./form.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { openAddPeopleDialog } from "./new-chat-dialog.js";
import { showToast } from "./toast.js";

export function openConversationDetails(app, conversationId) {
  const { api, store, me } = app;
  const list = el("ul.rows", { role: "list", "aria-label": t("details.people") });
  const participants = new KeyedList(list, {
    key: ({ profile }) => profile.id,
    create: () => el("li.row"),
    update: (element, row) => setChildren(element, rowContents(row)),
  });
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
  const unsubscribe = store.subscribe(render);
  dialog.closed.then(unsubscribe);
  render();

  function render() {
    const current = details();
    if (!current) {
      dialog.close();
      return;
    }
    dialog.setTitle(conversationName(current, me.id));
    const { people: profiles, presence } = store.getSnapshot();
    const canRemove = isGroup && current.owner_id === me.id;
    participants.render(
      current.participant_ids
        .filter((id) => profiles[id])
        .map((id) => ({
          profile: profiles[id],
          presence: id === me.id ? "" : presenceText(presence[id]),
          isOwner: isGroup && id === current.owner_id,
          removable: canRemove && id !== me.id,
        })),
    );
  }

  function rowContents({ profile, presence, isOwner, removable }) {
    const info = [isOwner && t("details.owner"), presence].filter(Boolean).join(" · ");
    return [
      avatar(profile, "small"),
      el(
        "div.grow",
        {},
        el("p.ellipsis", {}, profile.display_name),
        el("p.muted.small.ellipsis", {}, info || `@${profile.username}`),
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
    const field = new Field("title", (value) => value.trim() !== "" && value.length <= 100, {
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

  async function remove(userId) {
    try {
      await api.removeParticipant(conversationId, userId);
    } catch (error) {
      showToast(errorText(error));
    }
  }

  async function leave() {
    if (!(await confirm(t("details.leave.question"), t("details.leave")))) return;
    dialog.close();
    await remove(me.id);
  }
}
