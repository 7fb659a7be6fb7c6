/** The user interface's texts, in the browser's language. */

import en from "./messages/en.json" with { type: "json" };
import vi from "./messages/vi.json" with { type: "json" };

const MESSAGES = { en, vi };
/** The names of the languages, by BCP 47 tag. */
export const LANGUAGES = { en: "English", vi: "Tiếng Việt" };
const DEFAULT_LANGUAGE = "en";

/** Scripts that are written from right to left. */
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;

let messages = en;
let pluralRules = new Intl.PluralRules(DEFAULT_LANGUAGE);

let currentLocale = DEFAULT_LANGUAGE;

/** The page's BCP 47 language tag for `Intl`, with the browser's region: "en-GB". */
export function locale() {
  return currentLocale;
}

/** Show the first of the `preferred` languages that is supported; English if none is. */
export function chooseLanguage(preferred = navigator.languages) {
  const base = (tag) => tag.split("-")[0].toLowerCase();
  currentLocale = preferred.find((tag) => Object.hasOwn(MESSAGES, base(tag))) ?? DEFAULT_LANGUAGE;
  pluralRules = new Intl.PluralRules(currentLocale);
  document.documentElement.lang = currentLocale;
  messages = MESSAGES[base(currentLocale)];
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
  if (error?.code === "banned" && error.until) {
    const when = new Date(error.until).toLocaleString(locale(), { dateStyle: "long", timeStyle: "short" });
    return t("error.banned_until", { when });
  }
  const key = `error.${error?.code ?? "unknown"}`;
  return t(messages[key] ? key : "error.unknown");
}

export function formatNumber(value) {
  return new Intl.NumberFormat(currentLocale).format(value);
}

/** `bytes` in kilobytes or megabytes, as systems show them. */
export function formatSize(bytes) {
  const [unit, size] = bytes < 2 ** 20 ? ["kilobyte", bytes / 1024] : ["megabyte", bytes / 2 ** 20];
  const digits = size < 10 ? 1 : 0;
  const format = new Intl.NumberFormat(locale(), { style: "unit", unit, maximumFractionDigits: digits });
  return format.format(Math.max(size, 0.1));
}

/** Return for example "An, Bình and Chi". */
export function formatList(names) {
  return new Intl.ListFormat(currentLocale, { type: "conjunction" }).format(names.map(isolated));
}
