/** The table of notification types: which ones the user gets, and which are pushed. */

import { el, setChildren } from "./dom.js";
import { t } from "./i18n.js";
import { typeLabel } from "./notification-labels.js";
import { saveOnChange } from "./switch.js";

const CHANNELS = ["in_app", "push"];

/** Return {element, show(preferences)}. `preferences`: an OwnPreferences. */
export function kindPreferences(preferences) {
  const body = el("tbody");
  const header = CHANNELS.map((channel) => el("th", { scope: "col" }, t(`settings.${channel}`)));
  const element = el("table.kinds", {}, el("thead", {}, el("tr", {}, el("td"), header)), body);
  let rows = new Map();

  const save = (type, channel) => (checked) =>
    preferences.change(({ kinds }) => ({ kinds: { ...kinds, [type]: { ...kinds[type], [channel]: checked } } }));

  const createRow = (type) => {
    const label = typeLabel(type);
    const inputs = CHANNELS.map((channel) =>
      el("input", { type: "checkbox", "aria-label": `${label}: ${t(`settings.${channel}`)}` }),
    );
    const shows = inputs.map((input, index) => saveOnChange(input, "checked", save(type, CHANNELS[index])));
    return {
      element: el(
        "tr",
        {},
        el("th", { scope: "row" }, label),
        inputs.map((input) => el("td", {}, input)),
      ),
      show(preference) {
        shows.forEach((show, index) => show(preference[CHANNELS[index]]));
        // What the user does not get is not pushed either.
        inputs[1].disabled = !preference.in_app;
      },
    };
  };

  const show = ({ kinds }) => {
    const types = Object.keys(kinds);
    if (types.length !== rows.size || types.some((type) => !rows.has(type))) {
      rows = new Map(types.map((type) => [type, rows.get(type) ?? createRow(type)]));
      setChildren(
        body,
        [...rows.values()].map((row) => row.element),
      );
    }
    for (const type of types) rows.get(type).show(kinds[type]);
  };
  return { element, show };
}
