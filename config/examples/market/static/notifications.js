/** The bell with its list, the badges, and a toast for each new notification or message. */

import { loa } from "./loa.js";

const TITLES = {
  COMMENT_ON_POST: (name) => `${name} commented on your offer`,
  ORDER_PLACED: (name) => `${name} ordered something from you`,
  ORDER_SHIPPED: (name) => `${name} has shipped your order`,
};
const TOAST_TIME = 8000;

const [bell, list, toasts, unreadMessages, unreadNotifications] = [
  "bell",
  "notifications",
  "toasts",
  "unread-messages",
  "unread-notifications",
].map((id) => document.getElementById(id));

/** The text and the link of a notification, also of a type that this page does not know. */
function describe({ type, data: { sender, preview, url } }) {
  const title = (TITLES[type] ?? ((name) => name))(sender?.display_name ?? "Market");
  return { title, preview, url: url ?? "/" };
}

function link({ title, preview, url }) {
  const element = Object.assign(document.createElement("a"), { href: url });
  const [strong, span] = ["strong", "span"].map((tag) => document.createElement(tag));
  strong.textContent = title;
  span.textContent = preview;
  element.append(strong, span);
  return element;
}

function toast(content) {
  const element = link(content);
  toasts.append(element);
  setTimeout(() => element.remove(), TOAST_TIME);
}

function setBadge(element, count) {
  element.textContent = count > 99 ? "99+" : count;
  element.hidden = !count;
}

loa.store.subscribe(({ chat, notifications, conversations }) => {
  document.body.toggleAttribute("data-connected", chat.status === "online");
  setBadge(unreadNotifications, notifications.unreadCount);
  setBadge(unreadMessages, Object.values(conversations).reduce((sum, { unreadCount }) => sum + unreadCount, 0));
  list.replaceChildren(
    ...notifications.items.map((notification) => {
      const item = document.createElement("li");
      item.className = notification.data.read ? "" : "unread";
      item.append(link(describe(notification)));
      return item;
    }),
  );
});

bell.addEventListener("toggle", () => bell.open && loa.store.markNotificationsRead());

loa.stream.subscribe((event) => event.type === "notification" && toast(describe(event.data)));

loa.socket.subscribe(({ type, data }) => {
  if (type !== "new_message") return;
  const { userId, conversations, people } = loa.store.getSnapshot();
  const { conversation_id: id, sender_id: sender, content } = data;
  if (!content || sender === userId || conversations[id]?.isOpen) return;
  toast({ title: people[sender]?.display_name ?? "New message", preview: content, url: `/messages/${id}` });
});

// After signing out in another tab, show the page as others see it.
loa.session.subscribe(({ type }) => type === "signed-out" && location.reload());
