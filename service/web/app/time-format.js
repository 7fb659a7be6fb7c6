/** Formats times in the page's language and the browser's time zone. `iso` is an ISO 8601 timestamp. */

import { keepCurrent } from "./clock.js";
import { el } from "./dom.js";
import { locale } from "./i18n.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const formatters = new Map();

function format(date, options) {
  const key = JSON.stringify(options);
  // Creating a formatter takes far longer than formatting a date.
  if (!formatters.has(key)) formatters.set(key, new Intl.DateTimeFormat(locale(), options));
  return formatters.get(key).format(date);
}

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}

/** Return the number of midnights since `date`; rounded, since a day may have 23 or 25 hours. */
function daysAgo(date) {
  return Math.round((midnight(new Date()) - midnight(date)) / DAY);
}

function formatRelative(value, unit, options = { numeric: "auto" }) {
  const text = new Intl.RelativeTimeFormat(locale(), options).format(value, unit);
  return text.charAt(0).toLocaleUpperCase(locale()) + text.slice(1);
}

/** Return the local midnight before the time, in milliseconds since the epoch. */
export function startOfDay(iso) {
  return midnight(new Date(iso)).getTime();
}

/** 14:05 */
export function timeOfDay(iso) {
  return format(new Date(iso), { hour: "2-digit", minute: "2-digit" });
}

/** Today, Yesterday, Monday, 3 March, 3 March 2024 */
export function dayLabel(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days >= 0 && days <= 1) return formatRelative(-days, "day");
  if (days > 1 && days < 7) return format(date, { weekday: "long" });
  return format(date, { day: "numeric", month: "long", ...yearIfNotCurrent(date) });
}

/** 14:05, Mon, 3 Mar, 3 Mar 2024 */
export function shortDateTime(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days <= 0) return timeOfDay(iso);
  if (days < 7) return format(date, { weekday: "short" });
  return format(date, { day: "numeric", month: "short", ...yearIfNotCurrent(date) });
}

/** Now, 5 min. ago, 3 hr. ago; after a day, as `dayLabel`. */
export function relativeTime(iso) {
  const age = Math.max(0, Date.now() - Date.parse(iso));
  const short = { numeric: "auto", style: "short" };
  if (age < MINUTE) return formatRelative(0, "second", short);
  if (age < HOUR) return formatRelative(-Math.floor(age / MINUTE), "minute", short);
  if (age < DAY) return formatRelative(-Math.floor(age / HOUR), "hour", short);
  return dayLabel(iso);
}

/** Monday 3 March 2024 at 14:05 */
export function fullDateTime(iso) {
  return format(new Date(iso), { dateStyle: "full", timeStyle: "short" });
}

function yearIfNotCurrent(date) {
  return date.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
}

/** Create a `<time>` element with the relative time, or with what another `format` makes of it; kept current. */
export function timeElement(iso, format = relativeTime) {
  return keepCurrent(el("time", { datetime: iso, title: fullDateTime(iso) }), () => format(iso));
}
