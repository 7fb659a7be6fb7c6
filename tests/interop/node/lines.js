/** Talks with the test in lines of JSON: one for each event, and one on standard input for each frame to send. */

import { createInterface } from "node:readline";

/** @param {Record<string, unknown>} event */
export function report(event) {
  process.stdout.write(JSON.stringify(event) + "\n");
}

/** @param {(line: string) => void} send */
export function onLine(send) {
  createInterface({ input: process.stdin }).on("line", send);
}

/** The named events of the notification stream. */
export const NAMED = ["hello", "unread_count", "reset"];
