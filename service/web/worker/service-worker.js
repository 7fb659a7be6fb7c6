/**
 * The service worker: shows what is pushed while no page is open, and opens the place that a click is about.
 *
 * A classic script, so that the worker of another site can load it: importScripts("https://chat.example.com/service-worker.js").
 */

const ICON = "/app/icon.svg";

// A new version takes over at once: pages do not depend on which one shows notifications.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(show(event.data)));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.url));
});

/** Show a push. One of the same tag is replaced, with sound again. */
async function show(data) {
  const { title, body, url, tag } = parse(data);
  await self.registration.showNotification(title, {
    body,
    tag,
    renotify: Boolean(tag),
    icon: ICON,
    data: { url },
  });
}

/** Browsers require that each push is shown, so one that cannot be understood is, too. */
function parse(data) {
  try {
    const payload = data.json();
    if (typeof payload.title === "string") return payload;
  } catch {
    // Shown as below.
  }
  return { title: "Loa", body: "", url: "/", tag: "" };
}

/** Show `url` in a page of this origin that is open, or else in a new one. */
async function open(url) {
  const target = ownUrl(url);
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages.find((each) => each.url === target.href) ?? pages[0];
  if (!page || target.origin !== self.location.origin) return self.clients.openWindow(target.href);
  // A page hears of it instead of being navigated, so that it keeps what somebody is writing.
  page.postMessage({ type: "loa:open", url: `${target.pathname}${target.search}${target.hash}` });
  return page.focus();
}

/** Return the address of a push, or this origin's page if it is none of the web. */
function ownUrl(url) {
  const home = new URL("/", self.location.origin);
  try {
    const target = new URL(url, home);
    return ["https:", "http:"].includes(target.protocol) ? target : home;
  } catch {
    return home;
  }
}
