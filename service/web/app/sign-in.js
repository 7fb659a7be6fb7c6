/** The door: sign in, or make an account. */

import { el, fill } from "./dom.js";
import { Field, form } from "./form.js";
import { errorText, t } from "./i18n.js";

const USERNAME = /^[a-z0-9_.]{3,32}$/i;

/** `ended`: the code for which the session before has ended, null where there was none or its owner has ended it. */
export function signIn(session, ended) {
  const card = el("div.card");
  const show = (view) => {
    fill(card, view);
    // In a moment it is in the page, too.
    queueMicrotask(() => card.querySelector("input").focus());
  };
  const element = el("main.door", {}, card);
  const toSignIn = () =>
    show(door("sign_in", signInForm(session, ended), t("sign_in.new"), t("sign_in.to_register"), toRegister));
  const toRegister = () =>
    show(door("register", registerForm(session), t("register.known"), t("register.to_sign_in"), toSignIn));
  toSignIn();
  return element;
}

function door(name, form, question, other, switchTo) {
  form.prepend(
    el(
      "header",
      {},
      el("img.logo", { src: "/app/icon.svg", alt: "Loa" }),
      el("h1", {}, t(`${name}.title`)),
      el("p.muted", {}, t("app.tagline")),
    ),
  );
  form.append(el("p.switch", {}, question, el("button.button.link", { type: "button", onclick: switchTo }, other)));
  return form;
}

function signInForm(session, ended) {
  const fields = [username((value) => value.trim() !== ""), password("current-password", (value) => value !== "")];
  const why = ended && el("p.hint", { role: "status" }, errorText({ code: ended }));
  return form(fields, t("sign_in.action"), ({ username, password }) => session.login(username.trim(), password), [why]);
}

function registerForm(session) {
  const fields = [
    new Field("display_name", (value) => value.length <= 64, {
      hint: "field.display_name.hint",
      autocomplete: "name",
      autocapitalize: "words",
    }),
    username((value) => USERNAME.test(value.trim()), "field.username.hint"),
    password("new-password", (value) => value.length >= 8 && value.length <= 128, "field.password.hint"),
  ];
  return form(fields, t("register.action"), ({ username, password, display_name }) =>
    session.register(username.trim(), password, display_name.trim() || undefined),
  );
}

function username(good, hint) {
  return new Field("username", good, { hint, autocomplete: "username", spellcheck: "false" });
}

function password(autocomplete, good, hint) {
  return new Field("password", good, { hint, type: "password", autocomplete });
}
