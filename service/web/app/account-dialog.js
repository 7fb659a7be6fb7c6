/** The account dialog: profile, devices, password, signing out, the export of the data, and the deletion of the account. */

import { accountDeletion } from "./account-deletion.js";
import { appearanceForm } from "./appearance.js";
import { avatarButtons } from "./avatar-buttons.js";
import { avatar } from "./avatar.js";
import { blockedList } from "./blocked-list.js";
import { dataExport } from "./data-export.js";
import { deviceList } from "./device-list.js";
import { showDialog } from "./dialog.js";
import { el, setAttr, setChildren } from "./dom.js";
import { createForm, Field } from "./form.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { atPasswordField, passwordField } from "./password-field.js";
import { LINK_TO_MODERATION, navigate } from "./router.js";
import { hasLength, isPassword } from "./text.js";
import { showToast } from "./toast.js";

/** `ownProfile`: reports changes made elsewhere. `onProfileChange(profile)` is called with the user's saved profile. */
export function openAccountDialog({ api, session, me }, ownProfile, onProfileChange) {
  const summary = el("div.row");
  const renderSummary = ({ display_name, username, ...profile }) =>
    setChildren(
      summary,
      avatar({ display_name, ...profile }, "large"),
      el("div.grow", {}, el("h3", { dir: "auto" }, display_name), el("p.muted", {}, `@${username}`)),
    );
  renderSummary(me);
  const onSaved = (profile) => {
    update(profile);
    onProfileChange(profile);
  };
  const form = profileForm(api, me, onSaved);
  const picture = avatarButtons(api, me, onSaved);
  const update = (profile) => {
    renderSummary(profile);
    form.update(profile);
    picture.update(profile);
  };
  const own = api.me();
  // Closed before the page opens, or the dialog would take the focus back from it.
  const moderation = el(
    "a.row",
    { href: LINK_TO_MODERATION, hidden: true, onclick: () => dialog.close() },
    icon("flag"),
    t("moderation.title"),
  );
  own.then(
    ({ roles }) => setAttr(moderation, "hidden", !roles.includes("moderator")),
    () => {},
  );
  const body = el(
    "div.account",
    {},
    summary,
    section("account.profile", [picture.element, form.element]),
    presenceSwitch(api, own),
    moderation,
    section("account.appearance", appearanceForm()),
    section("account.blocked", blockedList(api)),
    section("account.sessions", deviceList(api)),
    section("account.password", passwordForm(api, me)),
    section("account.export", dataExport(api)),
    section("account.delete", accountDeletion(session)),
  );
  const signOut = async () => {
    dialog.close();
    // The next user to sign in in this tab starts at the chat list, not at this user's conversation.
    navigate("#/");
    await session.logout();
  };
  const dialog = showDialog(t("account.title"), body, [
    el("button.button.danger", { type: "button", onclick: signOut }, icon("leave"), t("account.sign_out")),
  ]);
  dialog.closed.then(ownProfile.subscribe(update));
}

function section(titleKey, content) {
  return el("section", { "aria-label": t(titleKey) }, el("h3", {}, t(titleKey)), content);
}

/** Return the form and `update(profile)`, which shows a profile that is stored now in the fields not being changed. */
function profileForm(api, me, onSaved) {
  const name = new Field("display_name", (value) => hasLength(value, 1, 64), {
    value: me.display_name,
    autocomplete: "name",
  });
  const picture = new Field("avatar", (value) => value === "" || isHttpsUrl(value), {
    hint: "field.avatar.hint",
    type: "url",
    dir: "ltr",
    value: linkOf(me),
  });
  const element = createForm([name, picture], t("save"), async ({ display_name, avatar }) => {
    // Only what the user has changed: the rest may have been changed on another device meanwhile.
    onSaved(
      await api.updateMe({
        ...(name.isChanged && { display_name: display_name.trim() }),
        ...(picture.isChanged && { avatar: avatar || null }),
      }),
    );
    showToast(t("saved"));
  });
  const update = (profile) => {
    name.update(profile.display_name);
    picture.update(linkOf(profile));
  };
  return { element, update };
}

/** Return the link to the user's picture; an uploaded one has none that a person would enter. */
function linkOf({ avatar }) {
  return avatar?.startsWith("https:") ? avatar : "";
}

/**
 * Whether others see when the user is online; disabled until the setting is known. `own`: a promise of the user's profile.
 */
function presenceSwitch(api, own) {
  const input = el("input", { type: "checkbox", disabled: true });
  const show = (request) =>
    request.then(
      ({ show_presence }) => {
        input.checked = show_presence;
        input.disabled = false;
      },
      (error) => showToast(errorText(error)),
    );
  input.addEventListener("change", async () => {
    const wanted = input.checked;
    const isFocused = document.activeElement === input;
    input.disabled = true;
    await show(api.updateMe({ show_presence: wanted }));
    if (input.disabled) {
      input.checked = !wanted;
      input.disabled = false;
    }
    if (isFocused) input.focus();
  });
  show(own);
  return el("label.row", {}, el("span.grow", {}, t("account.show_presence")), input);
}

function passwordForm(api, me) {
  const fields = [
    passwordField(),
    new Field("new_password", (value) => isPassword(value), {
      hint: "field.password.hint",
      type: "password",
      autocomplete: "new-password",
    }),
  ];
  const element = createForm(fields, t("account.password.change"), async ({ current_password, new_password }) => {
    await atPasswordField(api.changePassword(current_password, new_password));
    element.reset();
    showToast(t("account.password.changed"));
  });
  // Password managers need the username that the passwords belong to.
  element.prepend(
    el("input", { type: "text", autocomplete: "username", value: me.username, hidden: true, readonly: true }),
  );
  return element;
}

function isHttpsUrl(text) {
  return URL.canParse(text) && new URL(text).protocol === "https:";
}
