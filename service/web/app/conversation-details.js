/** Who is in a conversation, and what its people can change of it. */

import { avatar } from "./avatar.js";
import { conversationName, personPresence } from "./conversation-name.js";
import { confirm, showDialog } from "./dialog.js";
import { el, fill, KeyedList } from "./dom.js";
import { Field, form } from "./form.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { addPeople } from "./new-chat.js";
import { say } from "./toast.js";

export function openDetails(app, conversationId) {
  const { api, store, me } = app;
  const list = el("ul.rows", { role: "list", "aria-label": t("details.people") });
  const people = new KeyedList(list, {
    key: ({ profile }) => profile.id,
    create: () => el("li.row"),
    update: (element, row) => fill(element, contents(row)),
  });
  const details = () => store.getSnapshot().conversations[conversationId]?.details;
  const isGroup = details().kind === "group";

  const dialog = showDialog(
    conversationName(details(), me.id),
    el("div.form", {}, isGroup && renameForm(), el("h3", {}, t("details.people")), list),
    isGroup
      ? [
          el("button.button.danger", { type: "button", onclick: () => leave() }, t("details.leave")),
          el("button.button", { type: "button", onclick: () => add() }, t("details.add")),
        ]
      : [],
  );
  const unsubscribe = store.subscribe(render);
  dialog.closed.then(unsubscribe);
  render();

  function render() {
    const now = details();
    if (!now) {
      dialog.close();
      return;
    }
    dialog.setTitle(conversationName(now, me.id));
    const { people: known, presence } = store.getSnapshot();
    const mayRemove = isGroup && now.owner_id === me.id;
    people.render(
      now.participant_ids
        .filter((id) => known[id])
        .map((id) => ({
          profile: known[id],
          state: id === me.id ? "" : personPresence(presence[id]),
          owner: isGroup && id === now.owner_id,
          removable: mayRemove && id !== me.id,
        })),
    );
  }

  function contents({ profile, state, owner, removable }) {
    const about = [owner && t("details.owner"), state].filter(Boolean).join(" · ");
    return [
      avatar(profile, "small"),
      el(
        "div.grow",
        {},
        el("p.line", {}, profile.display_name),
        el("p.muted.small.line", {}, about || `@${profile.username}`),
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
    return form([field], t("details.rename"), async ({ title }) => {
      await api.renameConversation(conversationId, title.trim());
      say(t("saved"));
    });
  }

  function add() {
    addPeople(api, details().participant_ids, (ids) => api.addParticipants(conversationId, ids));
  }

  async function remove(userId) {
    try {
      await api.removeParticipant(conversationId, userId);
    } catch (error) {
      say(errorText(error));
    }
  }

  async function leave() {
    if (!(await confirm(t("details.leave.question"), t("details.leave")))) return;
    dialog.close();
    await remove(me.id);
  }
}
