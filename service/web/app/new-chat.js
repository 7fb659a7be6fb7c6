/** Choose people and begin a conversation, or add them to one. */

import { showDialog } from "./dialog.js";
import { el, fill, set } from "./dom.js";
import { Field } from "./form.js";
import { errorText, t } from "./i18n.js";
import { PeopleSearch } from "./people-search.js";
import { linkToConversation, go } from "./route.js";
import { say } from "./toast.js";

/** One person: the direct conversation with them; several: a group. */
export function startChat({ api, me }) {
  let chosen = [];
  const title = new Field("title", (value) => value.length <= 100, { autocapitalize: "sentences", maxlength: "100" });
  set(title.element, "hidden", true);
  const button = el(
    "button.button.primary",
    { type: "button", disabled: true, onclick: () => start() },
    t("people.start"),
  );
  const search = new PeopleSearch(api, [me.id], (profiles) => {
    chosen = profiles;
    button.disabled = chosen.length === 0;
    set(title.element, "hidden", chosen.length < 2);
    fill(button, chosen.length < 2 ? t("people.start") : t("people.start_group"));
  });
  const dialog = showDialog(t("people.title"), el("div.form", {}, search.element, title.element), [button]);

  async function start() {
    button.disabled = true;
    try {
      const name = chosen.length > 1 ? title.value.trim() || null : null;
      const conversation = await api.createConversation(
        chosen.map(({ id }) => id),
        name,
      );
      dialog.close();
      go(linkToConversation(conversation.id));
    } catch (error) {
      button.disabled = false;
      say(errorText(error));
    }
  }
}

/** `add(userIds)` is done with whom one chooses. */
export function addPeople(api, present, add) {
  let chosen = [];
  const button = el(
    "button.button.primary",
    { type: "button", disabled: true, onclick: () => join() },
    t("people.join"),
  );
  const search = new PeopleSearch(api, present, (profiles) => {
    chosen = profiles;
    button.disabled = chosen.length === 0;
  });
  const dialog = showDialog(t("people.add"), search.element, [button]);

  async function join() {
    button.disabled = true;
    try {
      await add(chosen.map(({ id }) => id));
      dialog.close();
    } catch (error) {
      button.disabled = false;
      say(errorText(error));
    }
  }
}
