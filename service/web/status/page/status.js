/** The status page: asks for the token, keeps it to itself, and draws what the metrics say every two seconds. */

import { Chart } from "./chart.js";
import { Samples } from "./samples.js";

const INTERVAL = 2000;

const milliseconds = (seconds) => seconds * 1000;
const scaled = (values, scale) => new Map([...values].map(([name, value]) => [name, scale(value)]));

/** Of each chart: its title, its unit, and its values from the samples of `now` and of the time `before`. */
const CHARTS = [
  ["Connections", "", (now) => now.sums("loa_connections", "feed")],
  [
    "Acks",
    "ms",
    (now, before) =>
      new Map([
        ["half", milliseconds(now.quantile(before, "loa_ack_seconds", 0.5))],
        ["99 of 100", milliseconds(now.quantile(before, "loa_ack_seconds", 0.99))],
      ]),
  ],
  ["Events published", "a second", (now, before) => now.rates(before, "loa_events_total", "type")],
  ["Frames received", "a second", (now, before) => now.rates(before, "loa_frames_total", "type")],
  ["HTTP answers", "a second", (now, before) => now.rates(before, "loa_http_requests_total", "status")],
  [
    "Waiting for slow readers",
    "events",
    (now) =>
      new Map([
        ...now.sums("loa_queue_events", null, "all"),
        ...now.sums("loa_queue_deepest_events", null, "the longest queue"),
      ]),
  ],
  [
    "Queues that overflowed",
    "a second",
    (now, before) =>
      new Map([
        ...now.rates(before, "loa_queue_overflows_total", "cause"),
        ...now.rates(before, "loa_events_dropped_total", null, "dropped"),
      ]),
  ],
  ["Connections ended", "a second", (now, before) => now.rates(before, "loa_connections_closed_total", "reason")],
  ["Connections that came back", "a second", (now, before) => now.rates(before, "loa_resumes_total", "outcome")],
  ["Lag of the bus", "ms", (now) => scaled(now.sums("loa_bus_lag_seconds", null, "lag"), milliseconds)],
  [
    "Waiting for Redis",
    "",
    (now, before) =>
      new Map([
        ...now.sums("loa_bus_waiting", null, "messages"),
        ...now.rates(before, "loa_bus_gaps_total", null, "gaps a second"),
      ]),
  ],
  ["Datastore errors", "a second", (now, before) => now.rates(before, "loa_datastore_errors_total", "kind")],
  ["Appends in one write", "", (now, before) => now.means(before, "loa_commit_batch", "collection")],
];

const door = document.getElementById("door");
const field = document.getElementById("token");
const main = document.getElementById("charts");
const state = document.getElementById("state");

const charts = CHARTS.map(([title, unit, values]) => ({ chart: new Chart(title, unit), values }));
main.append(...charts.map(({ chart }) => chart.element));

let before = null;

function say(text, bad = false) {
  state.textContent = text;
  state.classList.toggle("bad", bad);
}

function close(why) {
  main.hidden = true;
  door.hidden = false;
  before = null;
  say(why, true);
  field.focus();
}

/** One look; whether to look again. */
async function look(token) {
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch("/status/metrics.json", { headers, cache: "no-store", credentials: "omit" });
  if (answer.status === 401) {
    close("That is not the token");
    return false;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const now = new Samples((await answer.json()).samples, performance.now());
  door.hidden = true;
  main.hidden = false;
  for (const { chart, values } of charts) chart.push(values(now, before ?? now));
  before = now;
  const heard = [...now.sums("loa_bus_connected", null, "").values()].every((value) => value === 1);
  say(heard ? "Live" : "Redis cannot be heard", !heard);
  return true;
}

async function follow(token) {
  for (;;) {
    try {
      if (!(await look(token))) return;
    } catch {
      say("The server does not answer", true);
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  const token = field.value;
  // Not kept in the page, where it could be read: only here, as long as the page lives.
  field.value = "";
  follow(token);
});
