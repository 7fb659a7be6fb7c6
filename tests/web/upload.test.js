/** Uploads, as far as they need no browser; tests/e2e/test_attachments.py has the rest. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { uploadFile } from "../../service/web/client/upload.js";

test("an upload that was cancelled while it waited for a token is not sent", async () => {
  // Node has no XMLHttpRequest: to send something would throw.
  const upload = uploadFile("/api/v1/attachments?name=a", new Blob(["a"]), "token", { signal: AbortSignal.abort() });
  await assert.rejects(upload, { name: "AbortError" });
});
