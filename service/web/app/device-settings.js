/** What this device does when the app is not in view: settings that are kept in the browser. */

import { el, setAttr, setText } from "./dom.js";
import { t } from "./i18n.js";
import { switchRow } from "./switch.js";

/** Return {element, close()}. */
export function deviceSettings({ alerts, push }) {
  const pushed = switchRow(
    t("settings.push_here"),
    async (checked) => {
      try {
        await (checked ? push.subscribe() : push.unsubscribe());
      } finally {
        show();
      }
    },
    t(push.supported ? "settings.push_here.hint" : "settings.push_here.unsupported"),
  );
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
    pushed.show(push.active);
    setAttr(pushed.input, "disabled", !push.supported);
    sound.show(alerts.sound);
    desktop.show(alerts.desktop);
    setAttr(desktop.input, "disabled", alerts.permission === "unsupported");
    const explained = { denied: "settings.desktop.denied", unsupported: "settings.desktop.unsupported" };
    setText(problem, explained[alerts.permission] ? t(explained[alerts.permission]) : "");
  };
  show();
  const unsubscribe = alerts.subscribe(show);
  return { element: el("div", {}, pushed.element, sound.element, desktop.element, problem), close: unsubscribe };
}
