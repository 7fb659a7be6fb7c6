/** The dialog that names who of a group has read a message. */

import { avatar } from "./avatar.js";
import { whileBusy } from "./busy-button.js";
import { showDialog } from "./dialog.js";
import { el, KeyedList, setAttr, setChildren, setText } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { readMarks } from "./message-rows.js";
import { Readers } from "./readers.js";
import { showToast } from "./toast.js";
import { userLink } from "./user-page.js";

/** Names shown at first; the others are counted. */
const MAX_SHOWN = 20;

export function openReadersDialog({ api, store, me }, message) {
  const id = message.conversation_id;
  const readers = new Readers(api, message);
  const list = el("ul.rows", { role: "list" });
  const rows = new KeyedList(list, {
    key: (user) => user.id,
    create: (user) =>
      el("li.row", {}, avatar(user, "small"), user.id === me.id ? el("span", {}, t("message.you")) : userLink(user)),
    update: () => {},
  });
  const status = el("p.hint", { role: "status" }, t("loading"));
  const others = el("button.button", { type: "button", hidden: true, onclick: showAll });
  // Only on request: in a group of thousands, most pages may name nobody.
  const more = el("button.button", { type: "button", hidden: true, onclick: loadMore }, t("load_more"));
  let max = MAX_SHOWN;

  const conversation = () => store.getSnapshot().conversations[id];
  const marks = () => (conversation() ? readMarks(conversation()) : {});

  async function load() {
    await readers.load(marks());
    render();
  }

  function loadMore() {
    return whileBusy(more, load).catch((error) => showToast(errorText(error)));
  }

  function update() {
    if (!conversation()?.details) return dialog.close();
    if (readers.checked === 0) return;
    readers.update(marks());
    render();
  }

  function render() {
    const { items, checked, hasMore } = readers;
    const folded = Math.max(0, items.length - max);
    rows.render(items.slice(0, max));
    setAttr(others, "hidden", folded === 0);
    setChildren(others, t("readers.others", { count: folded }));
    setAttr(more, "hidden", !hasMore || folded > 0);
    const count = conversation().details.participant_count;
    const read = items.length ? t("message.read_by", { count: items.length }) : t("readers.none");
    setText(status, hasMore ? `${read} ${t("readers.checked", { checked, count })}` : read);
  }

  function showAll() {
    max = Infinity;
    render();
    // The button that had the focus is hidden.
    list.children[MAX_SHOWN]?.querySelector("a")?.focus();
  }

  const dialog = showDialog(t("readers.title"), el("div.form", {}, status, list, others, more));
  const unsubscribe = store.subscribe(update);
  dialog.closed.then(unsubscribe);
  load().catch((error) => setText(status, errorText(error)));
}
