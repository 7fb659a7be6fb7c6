import WebSocket from "ws";
import { onLine, report } from "./lines.js";

const socket = new WebSocket(process.argv[2]);
socket.on("message", (data) => report(JSON.parse(String(data))));
socket.on("close", (code, reason) => report({ type: "closed", code, reason: String(reason) }));
onLine((line) => socket.send(line));
