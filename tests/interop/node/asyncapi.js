// Parse the AsyncAPI document of the first argument; print what the official parser says, and the channels it found.

import { readFile } from "node:fs/promises";

import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
const channels = document?.channels().all().map((channel) => channel.id()) ?? [];
console.log(JSON.stringify({ diagnostics, channels }));
