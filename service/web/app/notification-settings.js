/** The dialog with the settings of notifications: the user's preferences, and what this device does. */

import { deviceSettings } from "./device-settings.js";
import { showDialog } from "./dialog.js";
import { el, setChildren } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { kindPreferences } from "./kind-preferences.js";
import { quietHoursForm } from "./quiet-hours.js";
import { saveOnChange, switchRow } from "./switch.js";

const MESSAGE_CHOICES = ["all", "mentions", "none"];

/** `app`: see AppShell. */
export function openNotificationSettings(app) {
  const { preferences } = app;
  const kinds = kindPreferences(preferences);
  const messages = messageChoice(preferences);
  const preview = switchRow(
    t("settings.preview"),
    (checked) => preferences.change(({ push }) => ({ push: { ...push, preview: checked } })),
    t("settings.preview.hint"),
  );
  const quietHours = quietHoursForm(preferences);
  const form = [
    section("settings.kinds", kinds.element),
    section("settings.messages", messages.element, preview.element),
    section("settings.quiet_hours", quietHours.element),
  ];
  const stored = el("div.settings", {}, el("p.muted", { role: "status" }, t("loading")));
  const device = deviceSettings(app);
  const body = el("div.settings", {}, stored, section("settings.device", device.element));
  const dialog = showDialog(t("settings.title"), body);
  let isShown = false;
  const unsubscribe = preferences.subscribe((current) => {
    if (!isShown) setChildren(stored, form);
    isShown = true;
    kinds.show(current);
    messages.show(current);
    preview.show(current.push.preview);
    quietHours.show(current);
  });
  const load = () =>
    preferences.load().catch((error) => {
      if (isShown) return;
      const retry = el("button.button", { type: "button", onclick: load }, t("try_again"));
      setChildren(stored, el("p.error", { role: "alert" }, errorText(error)), retry);
    });
  load();
  dialog.closed.then(() => {
    unsubscribe();
    device.close();
  });
}

function messageChoice(preferences) {
  const select = el(
    "select.input",
    {},
    MESSAGE_CHOICES.map((choice) => el("option", { value: choice }, t(`settings.messages.${choice}`))),
  );
  const show = saveOnChange(select, "value", (choice) =>
    preferences.change(({ push }) => ({ push: { ...push, messages: choice } })),
  );
  const element = el("label.field", {}, el("span", {}, t("settings.messages.push")), select);
  return { element, show: ({ push }) => show(push.messages) };
}

function section(titleKey, ...contents) {
  return el("section", { "aria-label": t(titleKey) }, el("h3", {}, t(titleKey)), contents);
}
