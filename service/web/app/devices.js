/** The devices on which one is signed in. */

import { el, fill } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { say } from "./toast.js";
import { ago } from "./time.js";

const BROWSERS = [
  ["Edg/", "Edge"],
  ["OPR/", "Opera"],
  ["Firefox/", "Firefox"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
];
const SYSTEMS = [
  ["Android", "Android"],
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Mac OS X", "macOS"],
  ["Windows", "Windows"],
  ["Linux", "Linux"],
];

export function devices(api) {
  const list = el("ul.rows", { role: "list" });

  async function load() {
    try {
      const { items } = await api.devices();
      fill(list, items.map(row));
    } catch (error) {
      fill(list, el("li.problem", {}, errorText(error)));
    }
  }

  function row(session) {
    const name = deviceName(session.user_agent);
    const when = t("account.session.used", { when: ago(session.last_used_at) });
    return el(
      "li.row",
      {},
      icon("device"),
      el(
        "div.grow",
        {},
        el("p", { title: session.user_agent }, name),
        el("p.muted.small", {}, session.current ? t("account.session.current") : when),
      ),
      !session.current &&
        el(
          "button.icon-button",
          { type: "button", "aria-label": t("account.session.end", { device: name }), onclick: () => end(session.id) },
          icon("leave"),
        ),
    );
  }

  async function end(id) {
    try {
      await api.endDevice(id);
      await load();
    } catch (error) {
      say(errorText(error));
    }
  }

  load();
  return list;
}

/** "Firefox on Linux", as far as the browser says so. */
function deviceName(userAgent) {
  const [browser, system] = [BROWSERS, SYSTEMS].map((known) => known.find(([sign]) => userAgent.includes(sign))?.[1]);
  if (browser && system) return t("account.session.on", { browser, system });
  return browser ?? system ?? (userAgent.slice(0, 40) || t("account.session.unknown"));
}
