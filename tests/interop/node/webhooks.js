// A receiver of webhooks: verifies each request with the secret of the first argument, as the package's README shows.

import { createServer } from "node:http";

import { Webhook } from "standardwebhooks";

import { report } from "./lines.js";

const verifier = new Webhook(process.argv[2]);

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString();
    const { headers } = request;
    try {
      report({ type: "verified", event: verifier.verify(body, headers), headers, body });
      response.writeHead(204).end();
    } catch (error) {
      report({ type: "refused", reason: error.message, headers });
      response.writeHead(401).end();
    }
  });
});
server.listen(0, "127.0.0.1", () => report({ type: "listening", port: server.address().port }));
