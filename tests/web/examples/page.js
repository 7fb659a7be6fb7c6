/** A plain page that shows the latest conversation and the unread count. The README shows the same code. */

export async function page(Loa, options, { bell, list, form }) {
  const loa = new Loa(options);
  loa.store.subscribe(({ notifications, conversations, conversationIds: [latest] }) => {
    if (latest && !conversations[latest].isOpen) loa.store.openConversation(latest); // loads its messages
    bell.textContent = `🔔 ${notifications.unreadCount}`;
    const { messages, pending } = conversations[latest] ?? { messages: [], pending: [] };
    list.textContent = [...messages, ...pending].map(({ content }) => content).join("\n");
    form.onsubmit = () => (loa.socket.send(latest, form.elements.content.value), false);
  });
  loa.start();
  if (!loa.session.user) await loa.session.login("user0", "correct horse");
  return loa;
}
