/** Uploads of files, with their progress, which `fetch` does not tell. */

import { LoaError } from "./errors.js";

/** Milliseconds without progress after which an upload has broken off. An image takes the server a while at the end. */
const STALLED = 90_000;

/**
 * Send `file` as the body of a request. Rejects with a LoaError, `network` if it breaks off; with an AbortError if
 * `signal` is aborted.
 * @param {string} url
 * @param {Blob} file
 * @param {string} token
 * @param {{signal?: AbortSignal | undefined, onProgress?: ((sent: number) => void) | undefined}} [options] `sent`: from 0
 *   to 1
 * @returns {Promise<Response>}
 */
export function uploadFile(url, file, token, { signal, onProgress } = {}) {
  if (signal?.aborted) return Promise.reject(signal.reason);
  const request = new XMLHttpRequest();
  const sent = new Promise((/** @type {(response: Response) => void} */ resolve, reject) => {
    const fail = () => reject(new LoaError("network", "The upload has broken off."));
    let timer = setTimeout(fail, STALLED);
    const restart = () => {
      clearTimeout(timer);
      timer = setTimeout(fail, STALLED);
    };
    request.upload.onprogress = ({ loaded, total }) => {
      restart();
      onProgress?.(total ? loaded / total : 0);
    };
    request.onload = () => resolve(asResponse(request));
    request.onerror = fail;
    request.onabort = fail;
    request.onloadend = () => clearTimeout(timer);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  request.open("POST", url);
  request.setRequestHeader("Authorization", `Bearer ${token}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(file);
  return sent
    .then(async (response) => {
      if (!response.ok) throw await LoaError.fromResponse(response);
      return response;
    })
    .finally(() => request.abort());
}

/** @param {XMLHttpRequest} request */
function asResponse(request) {
  const headers = new Headers();
  for (const name of ["Content-Type", "Retry-After"]) {
    const value = request.getResponseHeader(name);
    if (value) headers.set(name, value);
  }
  return new Response(request.responseText, { status: request.status, headers });
}
