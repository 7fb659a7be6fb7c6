/** Loa on this page: its client library comes from its own origin, its tokens from ours. */

const server = document.body.dataset.loa;
const { Loa } = await import(`${server}/client/index.js`);

export const loa = new Loa({ server, getToken });
loa.start();

/** Called again before a token expires. Null: nobody is signed in; an error: try again later. */
async function getToken() {
  const response = await fetch("/loa/token", { method: "POST" });
  if (response.status === 401) return null;
  if (!response.ok) throw new Error(`The market answered ${response.status}.`);
  return (await response.json()).access_token;
}
