/** The list of the archived conversations. */

import { conversationAvatar, conversationName } from "./conversation-labels.js";
import { showDialog } from "./dialog.js";
import { el } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";

export function openArchivedDialog({ api, me }) {
  const list = el("ul.rows", { role: "list" });
  const status = el("p.muted", { role: "status" }, t("loading"));
  const more = loadMoreButton(load);
  let before = null;

  async function load() {
    const { items, next } = await api.conversations({ archived: 1, before });
    before = next;
    list.append(...items.map(createRow));
    status.textContent = list.children.length > 0 ? "" : t("chats.archived.none");
    more.setHasMore(Boolean(next));
  }

  function createRow(details) {
    const link = el("a.row", { href: `#/c/${details.id}` }, conversationAvatar(details, me.id));
    link.append(el("span.grow.ellipsis", { dir: "auto" }, conversationName(details, me.id)));
    return el("li", {}, link);
  }

  // Following a link closes the dialog, as every navigation does.
  const dialog = showDialog(t("chats.archived"), el("div.form", {}, list, status, more.element));
  dialog.closed.then(() => more.close());
  load().catch((error) => (status.textContent = errorText(error)));
}
