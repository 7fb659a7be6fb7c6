/** What the page says, in the browser's language. */

const LANGUAGES = ["en", "vi"];

let messages = {};
let plurals = new Intl.PluralRules("en");

/** The language of the page as a BCP 47 tag, for `Intl`: the browser's own variant of it. */
export let locale = "en";

/** Choose the first of `wanted` that there is, and load its messages. */
export async function useLanguage(wanted = navigator.languages) {
  const base = (tag) => tag.split("-")[0].toLowerCase();
  locale = wanted.find((tag) => LANGUAGES.includes(base(tag))) ?? "en";
  plurals = new Intl.PluralRules(locale);
  document.documentElement.lang = locale;
  messages = await (await fetch(`/app/messages/${base(locale)}.json`)).json();
}

/**
 * The message of that name. `{word}` in it is replaced by `words.word`; where it has plural forms, `words.count` says
 * which of them.
 */
export function t(name, words = {}) {
  let message = messages[name];
  if (message === undefined) throw new Error(`There is no message ${name}.`);
  if (typeof message === "object") message = message[plurals.select(words.count)] ?? message.other;
  return message.replace(/\{(\w+)\}/g, (_, word) => (word === "count" ? number(words.count) : words[word]));
}

/** The message for an error's code; one that speaks of no cause where there is none for it. */
export function errorText(error) {
  const name = `error.${error?.code ?? "unknown"}`;
  return t(messages[name] ? name : "error.unknown");
}

export function number(value) {
  return new Intl.NumberFormat(locale).format(value);
}

/** "An, Bình and Chi" */
export function listOf(names) {
  return new Intl.ListFormat(locale, { type: "conjunction" }).format(names);
}
