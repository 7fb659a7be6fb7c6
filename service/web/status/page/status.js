/** The status page: asks for the token, then polls the metrics and draws them as charts. */

import { Chart } from "./chart.js";
import { Samples } from "./samples.js";

/** Milliseconds. */
const POLL_INTERVAL = 2000;

const toMilliseconds = (seconds) => seconds * 1000;
const mapValues = (values, transform) => new Map([...values].map(([name, value]) => [name, transform(value)]));

/** For each chart: title, unit, and its values, computed from the current and the `previous` samples. */
const CHARTS = [
  ["Connections", "", (now) => now.sums("loa_connections", "feed")],
  [
    "Ack latency",
    "ms",
    (now, previous) =>
      new Map([
        ["p50", toMilliseconds(now.quantile(previous, "loa_ack_seconds", 0.5))],
        ["p99", toMilliseconds(now.quantile(previous, "loa_ack_seconds", 0.99))],
      ]),
  ],
  ["Events published", "per second", (now, previous) => now.rates(previous, "loa_events_total", "type")],
  ["Frames received", "per second", (now, previous) => now.rates(previous, "loa_frames_total", "type")],
  ["HTTP responses", "per second", (now, previous) => now.rates(previous, "loa_http_requests_total", "status")],
  [
    "Queued events",
    "events",
    (now) =>
      new Map([
        ...now.sums("loa_queue_events", null, "all"),
        ...now.sums("loa_queue_deepest_events", null, "longest queue"),
      ]),
  ],
  [
    "Queue overflows",
    "per second",
    (now, previous) =>
      new Map([
        ...now.rates(previous, "loa_queue_overflows_total", "cause"),
        ...now.rates(previous, "loa_events_dropped_total", null, "dropped"),
      ]),
  ],
  [
    "Connections closed",
    "per second",
    (now, previous) => now.rates(previous, "loa_connections_closed_total", "reason"),
  ],
  ["Resumed connections", "per second", (now, previous) => now.rates(previous, "loa_resumes_total", "outcome")],
  ["Bus lag", "ms", (now) => mapValues(now.sums("loa_bus_lag_seconds", null, "lag"), toMilliseconds)],
  [
    "Redis outbox",
    "",
    (now, previous) =>
      new Map([
        ...now.sums("loa_bus_waiting", null, "messages"),
        ...now.rates(previous, "loa_bus_gaps_total", null, "gaps per second"),
      ]),
  ],
  ["Datastore errors", "per second", (now, previous) => now.rates(previous, "loa_datastore_errors_total", "kind")],
  ["Appends per batch", "", (now, previous) => now.means(previous, "loa_commit_batch", "collection")],
];

const tokenForm = document.getElementById("token-form");
const tokenInput = document.getElementById("token");
const main = document.getElementById("charts");
const statusLine = document.getElementById("status");

const charts = CHARTS.map(([title, unit, values]) => ({ chart: new Chart(title, unit), values }));
main.append(...charts.map(({ chart }) => chart.element));

let previous = null;

function showStatus(text, isError = false) {
  statusLine.textContent = text;
  statusLine.classList.toggle("error", isError);
}

function showTokenForm(error) {
  main.hidden = true;
  tokenForm.hidden = false;
  previous = null;
  showStatus(error, true);
  tokenInput.focus();
}

/** Fetch and draw the metrics once. Resolves to false if the token is invalid; rejects if the server fails. */
async function poll(token) {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch("/status/metrics.json", { headers, cache: "no-store", credentials: "omit" });
  if (response.status === 401) {
    showTokenForm("Invalid token");
    return false;
  }
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const now = new Samples((await response.json()).samples, performance.now());
  tokenForm.hidden = true;
  main.hidden = false;
  for (const { chart, values } of charts) chart.push(values(now, previous ?? now));
  previous = now;
  const busConnected = [...now.sums("loa_bus_connected", null, "").values()].every((value) => value === 1);
  showStatus(busConnected ? "Live" : "Not subscribed to Redis", !busConnected);
  return true;
}

async function pollForever(token) {
  for (;;) {
    try {
      if (!(await poll(token))) return;
    } catch {
      showStatus("Server unreachable", true);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
  }
}

tokenForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const token = tokenInput.value;
  // Do not leave the token in the document.
  tokenInput.value = "";
  pollForever(token);
});
