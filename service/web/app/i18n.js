/** The user interface's texts, in the browser's language. */

const LANGUAGES = ["en", "vi"];
const DEFAULT_LANGUAGE = "en";

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
  return message.replace(/\{(\w+)\}/g, (_, name) => (name === "count" ? formatNumber(params.count) : params[name]));
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
  return new Intl.ListFormat(locale, { type: "conjunction" }).format(names);
}
