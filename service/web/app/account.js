/** Oneself: profile, password, devices, and the way out. */

import { avatar } from "./avatar.js";
import { devices } from "./devices.js";
import { showDialog } from "./dialog.js";
import { el } from "./dom.js";
import { Field, form } from "./form.js";
import { icon } from "./icon.js";
import { LoaError } from "/client/index.js";
import { t } from "./i18n.js";
import { go } from "./route.js";
import { say } from "./toast.js";

/** `onProfile(profile)`: one has changed it. */
export function openAccount({ api, session, me }, onProfile) {
  const body = el(
    "div.account",
    {},
    el(
      "div.row",
      {},
      avatar(me, "large"),
      el("div", {}, el("h3", {}, me.display_name), el("p.muted", {}, `@${me.username}`)),
    ),
    section("account.profile", profileForm(api, me, onProfile)),
    section("account.sessions", devices(api)),
    section("account.password", passwordForm(api, me)),
  );
  const signOut = async () => {
    dialog.close();
    // Whoever signs in next need not begin where this one was.
    go("#/");
    await session.logout();
  };
  const dialog = showDialog(t("account.title"), body, [
    el("button.button.danger", { type: "button", onclick: signOut }, icon("leave"), t("account.sign_out")),
  ]);
}

function section(name, content) {
  return el("section", { "aria-label": t(name) }, el("h3", {}, t(name)), content);
}

function profileForm(api, me, onProfile) {
  const fields = [
    new Field("display_name", (value) => value.trim() !== "" && value.length <= 64, {
      value: me.display_name,
      autocomplete: "name",
    }),
    new Field("avatar", (value) => value === "" || isWebAddress(value), {
      hint: "field.avatar.hint",
      type: "url",
      value: me.avatar ?? "",
    }),
  ];
  return form(fields, t("save"), async ({ display_name, avatar }) => {
    onProfile(await api.updateMe({ display_name: display_name.trim(), avatar: avatar || null }));
    say(t("saved"));
  });
}

function passwordForm(api, me) {
  const fields = [
    new Field("current_password", (value) => value !== "", { type: "password", autocomplete: "current-password" }),
    new Field("new_password", (value) => value.length >= 8 && value.length <= 128, {
      hint: "field.password.hint",
      type: "password",
      autocomplete: "new-password",
    }),
  ];
  const element = form(fields, t("account.password.change"), async ({ current_password, new_password }) => {
    try {
      await api.changePassword(current_password, new_password);
    } catch (error) {
      if (error.code !== "bad_credentials") throw error;
      throw new LoaError("validation_failed", error.detail, {
        errors: [{ field: "current_password", message: error.detail }],
      });
    }
    element.reset();
    say(t("account.password.changed"));
  });
  // For the browser's keeper of passwords, which wants to know whose it is.
  element.prepend(
    el("input", { type: "text", autocomplete: "username", value: me.username, hidden: true, readonly: true }),
  );
  return element;
}

function isWebAddress(text) {
  return URL.canParse(text) && ["http:", "https:"].includes(new URL(text).protocol);
}
