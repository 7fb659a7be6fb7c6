/** The user interface's texts, in the browser's language. */

const LANGUAGES = ["en", "vi"];
const DEFAULT_LANGUAGE = "en";

/** Scripts that are written from right to left. */
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;

let messages = {};
let pluralRules = new Intl.PluralRules(DEFAULT_LANGUAGE);

/** The page's BCP 47 language tag for `Intl`, with the browser's region: "en-GB". */
export let locale = DEFAULT_LANGUAGE;

/** Load the messages of the first of `preferred` that is supported; English if none is. */
export async function loadMessages(preferred = navigator.languages) {
  const base = (tag) => tag.split("-")[0].toLowerCase();
  locale = preferred.find((tag) => LANGUAGES.includes(base(tag))) ?? DEFAULT_LANGUAGE;
  pluralRules = new Intl.PluralRules(locale);
  document.documentElement.lang = locale;
  messages = await (await fetch(`/app/messages/${base(locale)}.json`)).json();
}

/**
 * Return the message for `key`, with each `{name}` replaced by `params.name`. If the message has plural forms,
 * `params.count` selects one. Throws if there is no such message.
 */
export function t(key, params = {}) {
  let message = messages[key];
  if (message === undefined) throw new Error(`Missing message: ${key}`);
  if (typeof message === "object") message = message[pluralRules.select(params.count)] ?? message.other;
  const value = (name) => (name === "count" ? formatNumber(params.count) : isolated(String(params[name])));
  return message.replace(/\{(\w+)\}/g, (_, name) => value(name));
}

/**
 * Return `text` so that its direction does not affect the words around it (UAX #9: first strong isolate … pop
 * directional isolate). Text that is written from left to right needs no marks.
 */
export function isolated(text) {
  return RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text;
}

/** Return the message for an error's code; a general one if there is none for the code. */
export function errorText(error) {
  if (error?.code === "rate_limited" && error.retryAfter)
    return t("error.rate_limited_for", { count: Math.ceil(error.retryAfter) });
  const key = `error.${error?.code ?? "unknown"}`;
  return t(messages[key] ? key : "error.unknown");
}

export function formatNumber(value) {
  return new Intl.NumberFormat(locale).format(value);
}

/** Return for example "An, Bình and Chi". */
export function formatList(names) {
  return new Intl.ListFormat(locale, { type: "conjunction" }).format(names.map(isolated));
}
