/** Entry point: shows the sign-in page or, with a session, the app. */

import { Loa } from "/client/index.js";
import { AppShell } from "./app-shell.js";
import { applyAppearance } from "./appearance.js";
import { setChildren } from "./dom.js";
import { Drafts } from "./drafts.js";
import { signInPage } from "./sign-in-page.js";

// What is pushed leads to a place in the app, or on a site that sends notifications of its own.
const loa = new Loa({ onOpen: (url) => location.assign(url) });
const root = document.getElementById("app");
const localAccounts = document.querySelector('meta[name="loa:local-accounts"]').content === "on";
let shell = null;

function render(signOutCode = null) {
  const { user } = loa.session;
  shell?.close();
  shell = user && new AppShell(loa, user);
  setChildren(root, shell?.element ?? signInPage(loa.session, signOutCode, localAccounts));
}

applyAppearance();
loa.start();
loa.session.subscribe((event) => {
  if (event.type === "signed-out") Drafts.clear();
  render(event.type === "signed-out" ? event.code : null);
});
render();
