import { report } from "./lines.js";

// The library asks the page whether it is visible.
Object.assign(globalThis, { document: { hidden: false, addEventListener() {}, removeEventListener() {} }, window: globalThis });
const { fetchEventSource } = await import("@microsoft/fetch-event-source");

await fetchEventSource(process.argv[2], {
  async onopen() {},
  // The library takes an orderly end for the end; a client that wants to go on says so by an error.
  onclose() {
    throw new Error("closed");
  },
  // As the contract suggests: every message has JSON in `data`, and one without would end the connection here.
  onmessage({ event, data, id }) {
    const content = JSON.parse(data);
    report(event ? { type: event, data: content } : { ...content, id });
  },
  onerror: () => 500,
});
