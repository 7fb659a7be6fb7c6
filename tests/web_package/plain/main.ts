// A page without a bundler, with an account of Loa's own: an import map says where "loa-client" is.

import { Loa, LoaError, type Conversation, type Message, type State } from "loa-client";

const query = new URLSearchParams(location.search);
const loa = new Loa({ server: query.get("server") ?? location.origin });
const list = document.getElementById("list") as HTMLPreElement;

// @ts-expect-error: without `getToken`, nobody else can be asked
loa.session.refresh;
// @ts-expect-error: a message has no such field
((message: Message) => message.text) satisfies unknown;

function text({ conversations, conversationIds: [latest] }: State): string {
  const shown = latest === undefined ? undefined : conversations[latest];
  const messages: Message[] = shown?.messages ?? [];
  return messages.map(({ content }) => content).join("\n");
}

loa.store.subscribe((state) => {
  const [latest] = state.conversationIds;
  if (latest !== undefined && !state.conversations[latest]?.isOpen) void loa.store.openConversation(latest);
  list.textContent = text(state);
});
loa.start();
if (!loa.session.user) await loa.session.login(query.get("username") ?? "", query.get("password") ?? "");

export async function send(content: string): Promise<Message | LoaError> {
  const { items } = await loa.api.conversations();
  const [latest]: Conversation[] = items;
  if (!latest) throw new TypeError("There is no conversation.");
  try {
    return await loa.socket.send(latest.id, content);
  } catch (error) {
    if (error instanceof LoaError && !error.retryable) return error;
    throw error;
  }
}
await send("from plain TypeScript");
