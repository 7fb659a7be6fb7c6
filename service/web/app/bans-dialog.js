/** The users who are banned. */

import { endBan } from "./ban-dialog.js";
import { whileBusy } from "./busy-button.js";
import { showDialog } from "./dialog.js";
import { el } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { fullDateTime, timeElement } from "./time-format.js";
import { showToast } from "./toast.js";
import { userLink } from "./user-page.js";

export function openBans({ api }) {
  const list = el("ul.rows", { role: "list" });
  const status = el("p.muted", { role: "status" }, t("loading"));
  const more = loadMoreButton(load);
  let before = null;

  async function load() {
    const { items, next } = await api.bans({ before });
    before = next;
    list.append(...items.map(createRow));
    more.setHasMore(Boolean(next));
    showStatus();
  }

  /** While there is a further page, it is about to be loaded. */
  function showStatus() {
    const text = before ? t("loading") : t("moderation.bans.none");
    status.textContent = list.children.length > 0 ? "" : text;
  }

  function createRow({ user, until, at, by, reason }) {
    const end = async () => {
      await endBan(api, user);
      row.remove();
      showStatus();
      dialog.focus();
    };
    const run = () => whileBusy(button, end).catch((error) => showToast(errorText(error)));
    const button = el("button.button", { type: "button", onclick: run }, t("moderation.unban"));
    const length = until ? t("moderation.log.until", { when: fullDateTime(until) }) : t("moderation.ban.ever");
    const row = el(
      "li.row",
      {},
      el(
        "div.grow",
        {},
        el("p", {}, userLink(user)),
        el("p", { dir: "auto" }, [length, reason].filter(Boolean).join(" · ")),
        el("p.muted.small", {}, by && userLink(by), by && " · ", timeElement(at)),
      ),
      button,
    );
    return row;
  }

  const dialog = showDialog(t("moderation.bans"), el("div.form", {}, list, status, more.element));
  dialog.closed.then(() => more.close());
  load().catch((error) => (status.textContent = errorText(error)));
}
