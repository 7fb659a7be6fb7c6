"""The list of messages by itself, with more of them than anyone scrolls through."""

from playwright.async_api import expect

from tests.e2e.conftest import Enter, Register

COUNT = 5000
MILLISECONDS = 50
"""What a new message may take, with the layout of the page: three frames, on a machine that does much else."""

BUILD = """async (count) => {
  const { MessageList } = await import("/app/message-list.js");
  const actions = { me: "me", isGroup: () => false, nameOf: (id) => id, onSeen() {}, loadOlder: async () => {} };
  const message = (seq) => ({
    id: `id${seq}`, seq, rev: seq, sender_id: seq % 3 ? "me" : "other", content: `Number ${seq}`, nonce: null,
    reply_to: null, created_at: new Date(1.7e12 + seq * 60000).toISOString(), edited_at: null, deleted: false,
    reactions: {},
  });
  const list = new MessageList(actions);
  list.element.style.height = "400px";
  document.body.replaceChildren(list.element);
  let state = {
    messages: Array.from({ length: count }, (_, at) => message(at + 1)), pending: [], reads: {}, lastSeq: count,
    unreadCount: 0, hasOlder: false, details: { last_read_seq: count }, typing: {},
  };
  const people = { me: { id: "me", display_name: "Me" }, other: { id: "other", display_name: "Other" } };
  const show = (changes) => list.render(state = { ...state, ...changes }, people);
  show({});
  list.begin();
  window.bench = {
    show,
    say: () => show({ messages: [...state.messages, message(state.lastSeq + 1)], lastSeq: state.lastSeq + 1 }),
    edit: (at) => show({ messages: state.messages.with(at, { ...state.messages[at], content: "Changed" }) }),
    touched(change) {
      const watcher = new MutationObserver(() => {});
      watcher.observe(list.element, { subtree: true, childList: true, attributes: true, characterData: true });
      change();
      const rows = new Set();
      for (const { target, addedNodes } of watcher.takeRecords()) {
        for (const node of [target, ...addedNodes]) {
          const row = (node.closest ? node : node.parentElement)?.closest("li");
          if (row) rows.add(row.querySelector(".user-text").textContent);
        }
      }
      watcher.disconnect();
      return [...rows];
    },
    fastest(change, times) {
      const took = Array.from({ length: times }, () => {
        const begun = performance.now();
        change();
        void document.body.offsetHeight;
        return performance.now() - begun;
      });
      return Math.min(...took);
    },
  };
}"""


async def test_a_change_touches_only_itself(enter: Enter, register: Register) -> None:
    """Of thousands of messages a new one draws itself and the one before it, an edited one itself; and at once."""
    app = await enter(register("An"))
    page = app.page
    await page.evaluate(BUILD, COUNT)
    await expect(app.messages).to_have_count(COUNT)
    assert [f"Number {COUNT}", f"Number {COUNT + 1}"] == sorted(await page.evaluate("bench.touched(bench.say)"))
    assert ["Changed"] == await page.evaluate("bench.touched(() => bench.edit(1000))")
    assert [] == await page.evaluate("bench.touched(() => bench.show({ typing: { other: 1 } }))")
    assert await page.evaluate("bench.fastest(bench.say, 21)") < MILLISECONDS
    assert await page.evaluate("bench.fastest(() => bench.edit(2500), 21)") < MILLISECONDS
    await expect(app.messages.last).to_be_in_viewport()
