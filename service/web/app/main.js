/** The page: the door for who is not signed in, the app for who is. */

import { Loa } from "/client/index.js";
import { fill } from "./dom.js";
import { useLanguage } from "./i18n.js";
import { Shell } from "./shell.js";
import { signIn } from "./sign-in.js";

const loa = new Loa();
const root = document.getElementById("app");
let shell = null;

function show(ended = null) {
  const { user } = loa.session;
  shell?.close();
  shell = user && new Shell(loa, user);
  fill(root, shell?.element ?? signIn(loa.session, ended));
}

await useLanguage();
loa.start();
loa.session.subscribe((event) => show(event.type === "signed-out" ? event.code : null));
show();
