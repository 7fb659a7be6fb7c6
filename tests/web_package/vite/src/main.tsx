// A React component of a site with a sign-in of its own, as Vite builds it.

import { Loa, type State } from "loa-client";
import { StrictMode, useEffect, useSyncExternalStore, type FormEvent } from "react";
import { createRoot } from "react-dom/client";

const server = new URLSearchParams(location.search).get("server") ?? location.origin;
const loa = new Loa({ server, getToken });

// @ts-expect-error: with `getToken`, there are no passwords
loa.session.login;

async function getToken(): Promise<string | null> {
  const response = await fetch("/chat-token", { method: "POST" });
  if (response.status === 401) return null;
  const { access_token }: { access_token: string } = await response.json();
  return access_token;
}

function useLoa<Part>(pick: (state: State) => Part): Part {
  return useSyncExternalStore(loa.store.subscribe, () => pick(loa.store.getSnapshot()));
}

function Chat() {
  const latest = useLoa(({ conversationIds }) => conversationIds[0]);
  const conversation = useLoa(({ conversations }) => (latest === undefined ? undefined : conversations[latest]));
  const unread = useLoa(({ notifications }) => notifications.unreadCount);
  useEffect(() => {
    loa.start();
    return () => loa.stop();
  }, []);
  useEffect(() => {
    if (latest !== undefined) void loa.store.openConversation(latest);
  }, [latest]);

  function onSubmit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const content = new FormData(event.currentTarget).get("content");
    if (latest !== undefined && typeof content === "string") void loa.socket.send(latest, content);
  }

  const { messages = [], pending = [] } = conversation ?? {};
  return (
    <>
      <b id="bell">🔔 {unread}</b>
      <pre id="list">{[...messages, ...pending].map(({ content }) => content).join("\n")}</pre>
      <form onSubmit={onSubmit}>
        <input name="content" />
      </form>
    </>
  );
}

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Chat />
    </StrictMode>,
  );
}
