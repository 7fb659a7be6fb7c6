/** What this device does when the app is not in view: settings that are kept in the browser. */

import { el, setAttr, setText } from "./dom.js";
import { t } from "./i18n.js";
import { switchRow } from "./switch.js";

/** Return {element, close()}. */
export function deviceSettings({ alerts }) {
  const sound = switchRow(t("settings.sound"), async (checked) => alerts.setSound(checked), t("settings.sound.hint"));
  const desktop = switchRow(
    t("settings.desktop"),
    async (checked) => {
      await alerts.setDesktop(checked);
      show();
    },
    t("settings.desktop.hint"),
  );
  const problem = el("p.hint", { role: "status" });
  const show = () => {
    sound.show(alerts.sound);
    desktop.show(alerts.desktop);
    setAttr(desktop.input, "disabled", alerts.permission === "unsupported");
    const explained = { denied: "settings.desktop.denied", unsupported: "settings.desktop.unsupported" };
    setText(problem, explained[alerts.permission] ? t(explained[alerts.permission]) : "");
  };
  show();
  const unsubscribe = alerts.subscribe(show);
  return { element: el("div", {}, sound.element, desktop.element, problem), close: unsubscribe };
}
