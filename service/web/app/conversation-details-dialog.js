/** The details of a conversation: its participants and, for a group, what the user can change. */

import { conversationName } from "./conversation-labels.js";
import { confirm, showDialog } from "./dialog.js";
import { el, setAttr } from "./dom.js";
import { createForm, Field } from "./form.js";
import { errorText, t } from "./i18n.js";
import { openInviteDialog } from "./invite-dialog.js";
import { openAddPeopleDialog } from "./new-chat-dialog.js";
import { ParticipantList } from "./participant-list.js";
import { hasLength } from "./text.js";
import { showToast } from "./toast.js";

export function openConversationDetails(app, conversationId) {
  const { api, store, me } = app;
  const details = () => store.getSnapshot().conversations[conversationId]?.details;
  const isGroup = details().kind === "group";
  const participants = new ParticipantList(app, conversationId);
  const openHistory = el("input", { type: "checkbox" });
  const titleField = new Field("title", (value) => hasLength(value, 1, 100), {
    value: details().title ?? "",
    autocapitalize: "sentences",
  });
  /** What only the owner and admins see. */
  const forManagers = isGroup
    ? [
        button("button.button", "details.add", addPeople),
        button("button.button", "details.invite", () => openInviteDialog(api, conversationId)),
        renameForm(),
        historySwitch(),
      ]
    : [];
  const [add, invite, ...settings] = forManagers;

  const dialog = showDialog(
    conversationName(details(), me.id),
    el("div.form", {}, settings, el("h3", {}, t("details.people")), participants.element),
    isGroup ? [button("button.button.danger", "details.leave", leave), invite, add] : [],
  );
  const unsubscribers = [store.subscribe(render), app.profiles.subscribe(render), () => participants.close()];
  dialog.closed.then(() => unsubscribers.forEach((unsubscribe) => unsubscribe()));
  render();

  function render() {
    const current = details();
    if (!current) {
      dialog.close();
      return;
    }
    dialog.setTitle(conversationName(current, me.id));
    for (const element of forManagers) setAttr(element, "hidden", current.role === "member");
    if (isGroup) openHistory.checked = current.history === "all";
    titleField.update(current.title ?? "");
    participants.render(current);
  }

  function renameForm() {
    return createForm([titleField], t("details.rename"), async ({ title }) => {
      await api.renameConversation(conversationId, title.trim());
      showToast(t("saved"));
    });
  }

  function historySwitch() {
    openHistory.addEventListener("change", async () => {
      try {
        await api.setHistory(conversationId, openHistory.checked ? "all" : "since_joined");
      } catch (error) {
        openHistory.checked = details()?.history === "all";
        showToast(errorText(error));
      }
    });
    return el("label.row", {}, el("span.grow", {}, t("details.open_history")), openHistory);
  }

  function addPeople() {
    openAddPeopleDialog(api, participants.ids, async (ids) => {
      try {
        await api.addParticipants(conversationId, ids);
      } catch (error) {
        if (error.code !== "forbidden" || details()?.role === "member") throw error;
        // Somebody of them has left the group.
        dialog.close();
        showToast(t("details.add.left"));
      }
    });
  }

  async function leave() {
    if (!(await confirm(t("details.leave.question"), t("details.leave")))) return;
    dialog.close();
    app.leaving.add(conversationId);
    try {
      await api.removeParticipant(conversationId, me.id);
    } catch (error) {
      app.leaving.delete(conversationId);
      showToast(errorText(error));
    }
  }
}

function button(selector, label, onclick) {
  return el(selector, { type: "button", onclick: () => onclick() }, t(label));
}
