import polyfill from "event-source-polyfill";
import { NAMED, report } from "./lines.js";

const source = new polyfill.EventSourcePolyfill(process.argv[2]);
source.onmessage = ({ data, lastEventId }) => report({ ...JSON.parse(data), id: lastEventId });
for (const type of NAMED) source.addEventListener(type, ({ data }) => report({ type, data: JSON.parse(data) }));
