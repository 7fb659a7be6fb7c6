/** What is shown for an address that leads nowhere. */

import { el } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";

/** Return the page for an address that the app does not have. */
export function missingPage() {
  const heading = el("h1.visually-hidden", { tabindex: "-1" }, t("missing.title"));
  return { element: el("main.page.scroll", { id: "content" }, heading, missing(t("missing.page"))), refresh() {} };
}

/** Return the notice that something does not exist, or not for this user, with a way out. */
export function missing(text) {
  return el(
    "div.empty-state",
    {},
    icon("alert"),
    el("p", { role: "alert" }, text),
    el("a.button", { href: "#/" }, t("nav.chats")),
  );
}
