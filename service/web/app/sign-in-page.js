/** The page for signing in and for creating an account. */

import { el, setChildren } from "./dom.js";
import { createForm, Field } from "./form.js";
import { errorText, t } from "./i18n.js";
import { hasLength, isPassword } from "./text.js";

const USERNAME = /^[a-z0-9_.]{3,32}$/i;

/**
 * `signOutCode`: the error code for which the previous session ended; null if none ended, or the user signed out.
 * `localAccounts`: whether people sign in here, and not only at the site that Loa stands beside.
 */
export function signInPage(session, signOutCode, localAccounts) {
  const card = el("div.card");
  if (!localAccounts) {
    setChildren(card, header("sign_in"), el("p", {}, t("sign_in.elsewhere")));
    return el("main.sign-in-page", {}, card);
  }
  const show = (form) => {
    setChildren(card, form);
    // The form can be focused only once it is in the document.
    queueMicrotask(() => card.querySelector("input").focus());
  };
  const showSignIn = () =>
    show(
      withHeader(
        "sign_in",
        signInForm(session, signOutCode),
        t("sign_in.no_account"),
        t("sign_in.to_register"),
        showRegister,
      ),
    );
  const showRegister = () =>
    show(
      withHeader("register", registerForm(session), t("register.has_account"), t("register.to_sign_in"), showSignIn),
    );
  showSignIn();
  return el("main.sign-in-page", {}, card);
}

/** Add the logo and title to a form, and below it the link to the other form. `name`: prefix of the message keys. */
function withHeader(name, form, question, switchLabel, onSwitch) {
  form.prepend(header(name));
  form.append(
    el("p.switch-form", {}, question, el("button.button.link", { type: "button", onclick: onSwitch }, switchLabel)),
  );
  return form;
}

/** The logo and the title. `name`: prefix of the message keys. */
export function header(name) {
  return el(
    "header",
    {},
    el("img.logo", { src: "/app/icon.svg", alt: "Loa" }),
    el("h1", {}, t(`${name}.title`)),
    el("p.muted", {}, t("app.tagline")),
  );
}

function signInForm(session, signOutCode) {
  const fields = [
    usernameField((value) => value.trim() !== ""),
    passwordField("current-password", (value) => value !== ""),
  ];
  const reason = signOutCode && el("p.hint", { role: "status" }, errorText({ code: signOutCode }));
  return createForm(fields, t("sign_in.action"), ({ username, password }) => session.login(username.trim(), password), [
    reason,
  ]);
}

function registerForm(session) {
  const fields = [
    new Field("display_name", (value) => hasLength(value, 0, 64), {
      hint: "field.display_name.hint",
      autocomplete: "name",
      autocapitalize: "words",
    }),
    usernameField((value) => USERNAME.test(value.trim()), "field.username.hint"),
    passwordField("new-password", isPassword, "field.password.hint"),
  ];
  return createForm(fields, t("register.action"), ({ username, password, display_name }) =>
    session.register(username.trim(), password, display_name.trim() || undefined),
  );
}

function usernameField(isValid, hint) {
  return new Field("username", isValid, { hint, autocomplete: "username", spellcheck: "false" });
}

function passwordField(autocomplete, isValid, hint) {
  return new Field("password", isValid, { hint, type: "password", autocomplete });
}
