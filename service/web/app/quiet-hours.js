/** The form of the quiet hours, and whether they are now. */

import { el, setAttr } from "./dom.js";
import { labelled } from "./form.js";
import { t } from "./i18n.js";
import { saveOnChange, switchRow } from "./switch.js";

const DEFAULTS = { start: "22:00", end: "07:00" };

/** Return whether `hours`, {start, end, timezone} or null, include the time `now`. */
export function isQuiet(hours, now = new Date()) {
  if (!hours || hours.start === hours.end) return false;
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: hours.timezone };
  const clock = new Intl.DateTimeFormat("en-GB", options).format(now);
  return hours.start < hours.end
    ? hours.start <= clock && clock < hours.end
    : hours.start <= clock || clock < hours.end;
}

/** Return {element, show(preferences)}. `preferences`: an OwnPreferences. */
export function quietHoursForm(preferences) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const hoursOf = ({ quiet_hours: hours }) => hours ?? { ...DEFAULTS, timezone: own };
  const change = (parts) =>
    preferences.change((current) => ({ quiet_hours: parts && { ...hoursOf(current), ...parts } }));

  const toggle = switchRow(
    t("settings.quiet_hours.on"),
    (checked) => change(checked ? {} : null),
    t("settings.quiet_hours.hint"),
  );
  const start = el("input.input", { type: "time", required: true });
  const end = el("input.input", { type: "time", required: true });
  const zone = el("select.input");
  const fields = el(
    "div.quiet-hours",
    {},
    labelled("settings.quiet_hours.start", start),
    labelled("settings.quiet_hours.end", end),
    labelled("settings.quiet_hours.timezone", zone),
  );
  // An emptied time is none: it is not saved, and the field shows the stored one when it is left.
  const saveTime = (name) => async (value) => value && (await change({ [name]: value }));
  const showStart = saveOnChange(start, "value", saveTime("start"));
  const showEnd = saveOnChange(end, "value", saveTime("end"));
  const showZone = saveOnChange(zone, "value", (timezone) => change({ timezone }));
  let stored = null;
  for (const [input, name] of [
    [start, "start"],
    [end, "end"],
  ]) {
    input.addEventListener("blur", () => (input.value ||= hoursOf(stored)[name]));
  }

  const show = (current) => {
    stored = current;
    const hours = hoursOf(current);
    toggle.show(Boolean(current.quiet_hours));
    setAttr(fields, "hidden", !current.quiet_hours);
    if (!zone.options.length) zone.append(...timeZones(own).map((name) => option(name)));
    if (![...zone.options].some(({ value }) => value === hours.timezone)) zone.append(option(hours.timezone));
    showStart(hours.start);
    showEnd(hours.end);
    showZone(hours.timezone);
  };
  return { element: el("div", {}, toggle.element, fields), show };
}

function option(name) {
  return el("option", { value: name }, name.replaceAll("_", " "));
}

function timeZones(own) {
  return [...new Set([own, ...(Intl.supportedValuesOf?.("timeZone") ?? [])])].sort();
}
