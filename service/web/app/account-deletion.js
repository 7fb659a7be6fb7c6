/** What the deletion of the account deletes, and the form that confirms it with the password. */

import { el } from "./dom.js";
import { createForm } from "./form.js";
import { t } from "./i18n.js";
import { atPasswordField, passwordField } from "./password-field.js";

/** `session`: shows the sign-in page once the account is deleted. */
export function accountDeletion(session) {
  const element = el("div.confirmation", {}, el("p", {}, t("account.delete.what")));
  const showForm = () => {
    const field = passwordField();
    const form = createForm([field], t("account.delete.confirm"), ({ current_password }) =>
      atPasswordField(session.deleteAccount(current_password)),
    );
    form.querySelector("button").classList.replace("primary", "danger");
    begin.replaceWith(form);
    field.input.focus();
  };
  const begin = el("button.button.danger", { type: "button", onclick: showForm }, t("account.delete.begin"));
  element.append(begin);
  return element;
}
