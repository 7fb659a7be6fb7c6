/** The list of devices (sessions) on which the user is signed in. */

import { keepCurrent } from "./clock.js";
import { el, setChildren } from "./dom.js";
import { createForm } from "./form.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { atPasswordField, passwordField } from "./password-field.js";
import { relativeTime } from "./time-format.js";
import { showToast } from "./toast.js";

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
/** Characters shown of an unknown user agent. */
const MAX_USER_AGENT = 40;

export function deviceList(api) {
  const list = el("ul.rows", { role: "list" });

  async function load() {
    try {
      const { items } = await api.devices();
      setChildren(list, items.map(createRow));
    } catch (error) {
      setChildren(list, el("li.error", {}, errorText(error)));
    }
  }

  function createRow(session) {
    const name = deviceName(session.user_agent);
    const lastUsed = () => t("account.session.used", { when: relativeTime(session.last_used_at) });
    return el(
      "li.row",
      {},
      icon("device"),
      el(
        "div.grow",
        {},
        el("p", { title: session.user_agent }, name),
        keepCurrent(
          el("p.muted.small"),
          session.current ? () => t("account.session.current") : lastUsed,
        ),
      ),
      !session.current &&
        el(
          "button.icon-button",
          {
            type: "button",
            "aria-label": t("account.session.sign_out", { device: name }),
            onclick: ({ currentTarget }) => signOut(session.id, name, currentTarget.closest("li")),
          },
          icon("leave"),
        ),
    );
  }

  async function signOut(sessionId, name, row) {
    try {
      await api.endDevice(sessionId);
      await load();
    } catch (error) {
      if (error.code === "forbidden") confirmByPassword(sessionId, name, row);
      else showToast(errorText(error));
    }
  }

  /** Ask for the password below the row: the server wants it if the user has signed in a while ago. */
  function confirmByPassword(sessionId, name, row) {
    if (row.nextElementSibling?.classList.contains("confirmation")) return;
    const field = passwordField();
    const form = createForm([field], t("account.session.sign_out", { device: name }), async ({ current_password }) => {
      await atPasswordField(api.endDevice(sessionId, current_password));
      await load();
    });
    row.after(el("li.confirmation", {}, el("p", {}, t("account.session.confirm")), form));
    field.input.focus();
  }

  load();
  return list;
}

/** Return for example "Firefox on Linux"; less if the user agent does not name both. */
function deviceName(userAgent) {
  const [browser, system] = [BROWSERS, SYSTEMS].map((known) => known.find(([token]) => userAgent.includes(token))?.[1]);
  if (browser && system) return t("account.session.browser_on_system", { browser, system });
  return browser ?? system ?? (userAgent.slice(0, MAX_USER_AGENT) || t("account.session.unknown"));
}
