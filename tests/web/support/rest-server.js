/** An HTTP server whose responses the test defines. */

import { once } from "node:events";
import { createServer } from "node:http";

/**
 * `handler({method, path, query, token, body})` returns `{status, body, headers}`, or nothing for 204; with `{lost:
 * true}`, the connection is cut instead, and with `{lost: "body"}` after the head. It may be async. Returns the
 * server's URL.
 */
export async function startRestServer(t, handler) {
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const url = new URL(request.url, "http://localhost");
    const { status = 204, body, headers, lost } =
      (await handler({
        method: request.method,
        path: url.pathname.replace("/api/v1", ""),
        query: Object.fromEntries(url.searchParams),
        token: request.headers.authorization?.replace("Bearer ", ""),
        body: text ? JSON.parse(text) : undefined,
      })) ?? {};
    if (lost === true) return response.destroy();
    const type = status < 300 ? "application/json" : "application/problem+json";
    response.writeHead(status, { "Content-Type": type, ...headers });
    if (lost === "body") return response.write("{", () => response.destroy());
    response.end(typeof body === "string" ? body : body && JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

export function problem(status, code, more = {}) {
  return { status, body: { title: "", status, code, detail: `The code is ${code}.`, ...more } };
}
