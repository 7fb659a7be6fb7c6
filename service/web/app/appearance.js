/** The theme and the language that the user has chosen on this device; by default, the system's and the browser's. */

import { browserStorage, load, save } from "/client/storage.js";
import { el, setAttr } from "./dom.js";
import { labelled } from "./form.js";
import { chooseLanguage, LANGUAGES, t } from "./i18n.js";

const THEME = "loa:theme";
const LANGUAGE = "loa:language";
const THEMES = { light: "appearance.theme.light", dark: "appearance.theme.dark" };
const storage = browserStorage("localStorage");

/** Show the page in the chosen theme and language. Call before anything is rendered. */
export function applyAppearance() {
  applyTheme();
  const language = stored(LANGUAGE, LANGUAGES);
  // The browser may know the region, too, which times and numbers depend on: "en-GB".
  const preferred = navigator.languages.filter((tag) => !language || tag.split("-")[0] === language);
  chooseLanguage(language ? [...preferred, language] : preferred);
  // Changed in another tab.
  addEventListener("storage", ({ key }) => key === THEME && applyTheme());
}

/** Return the form: one list for the theme, one for the language. What is chosen applies at once. */
export function appearanceForm() {
  const themes = Object.entries(THEMES).map(([name, key]) => [name, t(key)]);
  return el(
    "div.appearance",
    {},
    choice(THEME, "appearance.theme", "appearance.theme.system", themes, applyTheme),
    // All texts of the page change; what is being written is a draft, and survives.
    choice(LANGUAGE, "appearance.language", "appearance.language.browser", Object.entries(LANGUAGES), () =>
      location.reload(),
    ),
  );
}

function choice(key, labelKey, defaultKey, options, apply) {
  const select = el(
    "select.input",
    {},
    el("option", { value: "" }, t(defaultKey)),
    // The name of a language is written in that language.
    options.map(([value, text]) => el("option", { value, lang: key === LANGUAGE && value }, text)),
  );
  select.value = stored(key, Object.fromEntries(options)) ?? "";
  select.addEventListener("change", () => {
    save(storage, key, select.value || null);
    apply();
  });
  return labelled(labelKey, select);
}

function applyTheme() {
  const theme = stored(THEME, THEMES);
  setAttr(document.documentElement, "data-theme", theme);
  // The colour of the browser's own controls on a phone.
  for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
    const own = meta.dataset.theme;
    if (theme) meta.media = own === theme ? "all" : "not all";
    else meta.media = `(prefers-color-scheme: ${own})`;
  }
}

/** Return what is stored under `key` if `allowed` has it; else null. */
function stored(key, allowed) {
  const value = load(storage, key);
  return Object.hasOwn(allowed, value) ? value : null;
}
