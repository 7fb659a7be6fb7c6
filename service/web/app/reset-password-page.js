/** The page of the link with which a user who has forgotten their password chooses a new one. */

import { el } from "./dom.js";
import { createForm, Field } from "./form.js";
import { t } from "./i18n.js";
import { header } from "./sign-in-page.js";
import { isPassword } from "./text.js";

/** `token`: of the link. With the new password, the user is signed in, as whom the link is for. */
export function resetPasswordPage(session, token) {
  const field = new Field("new_password", isPassword, {
    hint: "field.password.hint",
    type: "password",
    autocomplete: "new-password",
  });
  const problem = el("p.error", { role: "alert" });
  const form = createForm(
    [field],
    t("reset.action"),
    async ({ new_password: password }) => {
      problem.textContent = "";
      try {
        await session.resetPassword(token, password);
      } catch (error) {
        if (error.code !== "token_invalid") throw error;
        problem.textContent = t("reset.invalid");
      }
    },
    [problem],
  );
  form.prepend(header("reset"));
  form.append(el("p.switch-form", {}, el("a", { href: "#/" }, t("register.to_sign_in"))));
  return el("main.sign-in-page", {}, el("div.card", {}, form));
}
