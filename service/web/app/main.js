/** Entry point: shows the sign-in page or, with a session, the app. */

import { Loa } from "/client/index.js";
import { AppShell } from "./app-shell.js";
import { applyAppearance } from "./appearance.js";
import { setChildren } from "./dom.js";
import { Drafts } from "./drafts.js";
import { leaveOldEntry } from "./lightbox-entry.js";
import { forgetEmoji } from "./recent-emoji.js";
import { resetPasswordPage } from "./reset-password-page.js";
import { currentRoute, replaceRoute } from "./router.js";
import { signInPage } from "./sign-in-page.js";

// What is pushed leads to a place in the app, or on a site that sends notifications of its own.
const loa = new Loa({ onOpen: (url) => location.assign(url) });
const root = document.getElementById("app");
const localAccounts = document.querySelector('meta[name="loa:local-accounts"]').content === "on";
let shell = null;
/** The token of the link that was opened to choose a new password. */
let resetToken = null;

function render(signOutCode = null) {
  const { user } = loa.session;
  shell?.close();
  shell = user && !resetToken ? new AppShell(loa, user) : null;
  setChildren(root, shell?.element ?? signedOutPage(signOutCode));
}

function signedOutPage(signOutCode) {
  return resetToken
    ? resetPasswordPage(loa.session, resetToken)
    : signInPage(loa.session, signOutCode, localAccounts);
}

function readResetToken() {
  const { section, token } = currentRoute();
  const before = resetToken;
  resetToken = section === "reset" ? token : null;
  return resetToken !== before;
}

leaveOldEntry();
addEventListener("popstate", leaveOldEntry);
applyAppearance();
loa.start();
readResetToken();
addEventListener("hashchange", () => readResetToken() && render());
loa.session.subscribe((event) => {
  if (event.type === "signed-out") {
    Drafts.clear();
    forgetEmoji();
  }
  // With the new password, the user is signed in, and the link has been used.
  if (event.type === "signed-in" && resetToken) return replaceRoute("#/");
  render(event.type === "signed-out" ? event.code : null);
});
render();
