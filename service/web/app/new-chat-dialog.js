/** Dialogs to start a conversation and to add people to one. */

import { whileBusy } from "./busy-button.js";
import { showDialog } from "./dialog.js";
import { el, setAttr, setChildren } from "./dom.js";
import { Field } from "./form.js";
import { errorText, t } from "./i18n.js";
import { PeoplePicker } from "./people-picker.js";
import { linkToConversation, navigate } from "./router.js";
import { hasLength } from "./text.js";
import { showToast } from "./toast.js";

/** With one person selected, start (or open) the direct conversation; with several, a group. */
export function openNewChatDialog({ api, me }) {
  let selected = [];
  const title = new Field("title", (value) => hasLength(value, 0, 100), { autocapitalize: "sentences" });
  setAttr(title.element, "hidden", true);
  const button = el(
    "button.button.primary",
    { type: "button", disabled: true, onclick: () => whileBusy(button, start) },
    t("people.start"),
  );
  const picker = new PeoplePicker(api, [me.id], (profiles) => {
    selected = profiles;
    button.disabled = selected.length === 0;
    setAttr(title.element, "hidden", selected.length < 2);
    setChildren(button, selected.length < 2 ? t("people.start") : t("people.start_group"));
  });
  const dialog = showDialog(t("people.title"), el("div.form", {}, picker.element, title.element), [button]);

  async function start() {
    if (selected.length > 1 && !title.validate()) {
      title.input.focus();
      return;
    }
    try {
      const name = selected.length > 1 ? title.value.trim() || null : null;
      const conversation = await api.createConversation(
        selected.map(({ id }) => id),
        name,
      );
      dialog.close();
      navigate(linkToConversation(conversation.id));
    } catch (error) {
      showToast(errorText(error));
    }
  }
}

/** `participantIds` are not offered; `add(userIds)` is called with the selected people and returns a promise. */
export function openAddPeopleDialog(api, participantIds, add) {
  let selected = [];
  const button = el(
    "button.button.primary",
    { type: "button", disabled: true, onclick: () => whileBusy(button, addSelected) },
    t("people.add_selected"),
  );
  const picker = new PeoplePicker(api, participantIds, (profiles) => {
    selected = profiles;
    button.disabled = selected.length === 0;
  });
  const dialog = showDialog(t("people.add"), picker.element, [button]);

  async function addSelected() {
    try {
      await add(selected.map(({ id }) => id));
      dialog.close();
    } catch (error) {
      showToast(errorText(error));
    }
  }
}
