"""Rendering performance of the message list, by itself, with thousands of messages."""

from playwright.async_api import expect

from tests.e2e.conftest import OpenApp

MESSAGE_COUNT = 5000
MAX_UPDATE_MS = 50
"""Milliseconds to render one change, including layout: three frames."""
ATTEMPTS = 200
"""Changes of which one has to be that fast: on a busy machine, something may interrupt most of them."""

CREATE_LIST = """async (count) => {
  const { MessageList } = await import("/app/message-list.js");
  const actions = { me: "me", isGroup: () => false, nameOf: (id) => id, onAllSeen() {}, loadOlder: async () => {} };
  const message = (seq) => ({
    id: `id${seq}`, seq, rev: seq, sender_id: seq % 3 ? "me" : "other", content: `Number ${seq}`, nonce: null,
    reply_to: null, created_at: new Date(1.7e12 + seq * 60000).toISOString(), edited_at: null, deleted: false,
    reactions: {},
  });
  const list = new MessageList(actions);
  list.element.style.height = "400px";
  document.body.replaceChildren(list.element);
  let state = {
    messages: Array.from({ length: count }, (_, index) => message(index + 1)), pending: [], reads: {}, lastSeq: count,
    unreadCount: 0, hasOlder: false, details: { last_read_seq: count }, typing: {},
  };
  const profiles = { me: { id: "me", display_name: "Me" }, other: { id: "other", display_name: "Other" } };
  const update = (changes) => list.render(state = { ...state, ...changes }, profiles);
  update({});
  list.onLoaded();
  window.bench = {
    update,
    append: () => update({ messages: [...state.messages, message(state.lastSeq + 1)], lastSeq: state.lastSeq + 1 }),
    edit: (index) => update({ messages: state.messages.with(index, { ...state.messages[index], content: "Changed" }) }),
    touchedRows(change) {
      const observer = new MutationObserver(() => {});
      observer.observe(list.element, { subtree: true, childList: true, attributes: true, characterData: true });
      change();
      const rows = new Set();
      for (const { target, addedNodes } of observer.takeRecords()) {
        for (const node of [target, ...addedNodes]) {
          const row = (node.closest ? node : node.parentElement)?.closest("li");
          if (row) rows.add(row.querySelector(".user-text").textContent);
        }
      }
      observer.disconnect();
      return [...rows];
    },
    isFast(change, limit, attempts) {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const start = performance.now();
        change();
        void document.body.offsetHeight;
        if (performance.now() - start < limit) return true;
      }
      return false;
    },
  };
}"""


async def test_a_change_renders_only_the_affected_rows(open_app: OpenApp) -> None:
    """A new message renders its row and the one before it, an edited message its row."""
    app = await open_app()
    await expect(app.page.get_by_role("heading", name="Sign in")).to_be_visible()
    page = app.page
    await page.evaluate(CREATE_LIST, MESSAGE_COUNT)
    await expect(app.messages).to_have_count(MESSAGE_COUNT)
    assert [f"Number {MESSAGE_COUNT}", f"Number {MESSAGE_COUNT + 1}"] == sorted(
        await page.evaluate("bench.touchedRows(bench.append)")
    )
    assert ["Changed"] == await page.evaluate("bench.touchedRows(() => bench.edit(1000))")
    assert [] == await page.evaluate("bench.touchedRows(() => bench.update({ typing: { other: 1 } }))")
    for change in ("bench.append", "() => bench.edit(2500)"):
        assert await page.evaluate(f"bench.isFast({change}, {MAX_UPDATE_MS}, {ATTEMPTS})"), change
    await expect(app.messages.last).to_be_in_viewport()
