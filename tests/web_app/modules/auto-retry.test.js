/** Requests that are repeated until they succeed. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { AutoRetry } from "../../../service/web/app/auto-retry.js";

const page = new EventTarget();
globalThis.addEventListener = page.addEventListener.bind(page);

const UNREACHABLE = Object.assign(new Error("unreachable"), { retryable: true });

/** A task that ends when the test says so; `runs` holds the end of each run. */
class Task {
  runs = [];

  run = () => new Promise((resolve, reject) => this.runs.push({ resolve, reject }));
}

/** Let everything go on that waits for no timer. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("a request made while one is running follows it, since the response may be older than the reason", async () => {
  const task = new Task();
  const retry = new AutoRetry(task.run, assert.fail);
  retry.run();
  retry.run();
  retry.run();
  assert.equal(task.runs.length, 1);
  task.runs[0].resolve();
  await settled();
  assert.equal(task.runs.length, 2);
  task.runs[1].resolve();
  await settled();
  assert.equal(task.runs.length, 2);
});

test("a request made while one is running follows its failure, too, without waiting", async () => {
  const task = new Task();
  const errors = [];
  const retry = new AutoRetry(task.run, (error) => errors.push(error));
  retry.run();
  retry.run();
  task.runs[0].reject(UNREACHABLE);
  await settled();
  assert.equal(task.runs.length, 2);
  assert.deepEqual(errors, [UNREACHABLE]);
  retry.close();
});

test("a failed request is repeated after a while, or when the browser is online again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const task = new Task();
  const retry = new AutoRetry(task.run, () => {});
  retry.run();
  task.runs[0].reject(UNREACHABLE);
  await settled();
  assert.equal(task.runs.length, 1);
  t.mock.timers.tick(3000);
  assert.equal(task.runs.length, 2);
  task.runs[1].reject(UNREACHABLE);
  await settled();
  page.dispatchEvent(new Event("online"));
  assert.equal(task.runs.length, 3);
  retry.close();
});

test("a request that the server refused is not repeated", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const task = new Task();
  const retry = new AutoRetry(task.run, () => {});
  retry.run();
  task.runs[0].reject(new Error("not found"));
  await settled();
  t.mock.timers.tick(60_000);
  assert.equal(task.runs.length, 1);
});

test("nothing is requested after `close`", async () => {
  const task = new Task();
  const retry = new AutoRetry(task.run, assert.fail);
  retry.run();
  retry.run();
  retry.close();
  task.runs[0].resolve();
  await settled();
  page.dispatchEvent(new Event("online"));
  assert.equal(task.runs.length, 1);
});
