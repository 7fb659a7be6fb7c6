/** Times as people say them, in the page's language and the browser's time zone. */

import { el } from "./dom.js";
import { locale } from "./i18n.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const formats = new Map();

function format(date, options) {
  const name = JSON.stringify(options);
  // Making one takes longer than all that it will ever format.
  if (!formats.has(name)) formats.set(name, new Intl.DateTimeFormat(locale, options));
  return formats.get(name).format(date);
}

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}

/** How many midnights ago. */
function daysAgo(date) {
  return Math.round((midnight(new Date()) - midnight(date)) / DAY);
}

function relative(value, unit, options = { numeric: "auto" }) {
  const text = new Intl.RelativeTimeFormat(locale, options).format(value, unit);
  return text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
}

/** The same for all moments of one day here, and for no other. */
export function dayOf(iso) {
  return midnight(new Date(iso)).getTime();
}

/** 14:05 */
export function timeOfDay(iso) {
  return format(new Date(iso), { hour: "2-digit", minute: "2-digit" });
}

/** Today, Yesterday, Monday, 3 March, 3 March 2024 */
export function dayName(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days >= 0 && days <= 1) return relative(-days, "day");
  if (days > 1 && days < 7) return format(date, { weekday: "long" });
  return format(date, { day: "numeric", month: "long", ...otherYear(date) });
}

/** For a column: 14:05, Mon, 3 Mar, 3 Mar 2024 */
export function shortly(iso) {
  const date = new Date(iso);
  const days = daysAgo(date);
  if (days <= 0) return timeOfDay(iso);
  if (days < 7) return format(date, { weekday: "short" });
  return format(date, { day: "numeric", month: "short", ...otherYear(date) });
}

/** Now, 5 min. ago, 3 hr. ago, then the day. */
export function ago(iso) {
  const age = Math.max(0, Date.now() - Date.parse(iso));
  const short = { numeric: "auto", style: "short" };
  if (age < MINUTE) return relative(0, "second", short);
  if (age < HOUR) return relative(-Math.floor(age / MINUTE), "minute", short);
  if (age < DAY) return relative(-Math.floor(age / HOUR), "hour", short);
  return dayName(iso);
}

/** The whole of it, for who wants to know. */
export function fully(iso) {
  return format(new Date(iso), { dateStyle: "full", timeStyle: "short" });
}

function otherYear(date) {
  return date.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
}

/** A `<time>` that says how long ago, and goes on saying it truly. */
export function agoElement(iso) {
  return el("time.ago", { datetime: iso, title: fully(iso) }, ago(iso));
}

setInterval(() => {
  for (const element of document.querySelectorAll("time.ago")) element.textContent = ago(element.dateTime);
}, MINUTE);
