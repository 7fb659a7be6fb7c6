/** The list of the people whom the user blocks, with a button to unblock each of them. */

import { avatar } from "./avatar.js";
import { el, setChildren } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { showToast } from "./toast.js";

export function blockedList(api) {
  const list = el("ul.rows", { role: "list" });

  /** Load the page behind the cursor `before`, and append it; without one, the first page. */
  async function load(before = null) {
    try {
      const { items, next } = await api.blocks({ before });
      const more = el("button.button", { type: "button", onclick: () => more.parentNode.remove() || load(next) });
      more.append(t("load_more"));
      const rows = [...items.map(({ user }) => createRow(user)), ...(next ? [el("li", {}, more)] : [])];
      if (before) list.append(...rows);
      else setChildren(list, rows.length > 0 ? rows : el("li.muted", {}, t("account.blocked.none")));
    } catch (error) {
      setChildren(list, el("li.error", {}, errorText(error)));
    }
  }

  function createRow(user) {
    return el(
      "li.row",
      {},
      avatar(user),
      el("div.grow", {}, el("p.ellipsis", { dir: "auto" }, user.display_name), el("p.muted.small", {}, `@${user.username}`)),
      el(
        "button.button",
        { type: "button", "aria-label": t("block.end_of", { name: user.display_name }), onclick: () => unblock(user.id) },
        t("block.end"),
      ),
    );
  }

  async function unblock(userId) {
    try {
      await api.unblock(userId);
      await load();
    } catch (error) {
      showToast(errorText(error));
    }
  }

  load();
  return list;
}
