// A user of the types that openapi-typescript generates. It compiles only if they say what the server accepts and answers.

import type { components, paths } from "./api.js";

type Body<Path extends keyof paths> = paths[Path] extends {
  post: { requestBody: { content: { "application/json": infer Json } } };
}
  ? Json
  : never;
type Message = components["schemas"]["Message"];

// What has a default may be left out.
export const register: Body<"/api/v1/auth/register"> = { username: "ann", password: "a long passphrase" };
export const conversation: Body<"/api/v1/conversations"> = { participant_ids: ["6650a1f2c3d4e5f60718293a"] };
// @ts-expect-error: `history` is one of two values
export const wrong: Body<"/api/v1/conversations"> = { participant_ids: [], history: "some" };

export function describe(message: Message): string {
  const replyTo: string | null = message.reply_to;
  const reactions: { [emoji: string]: string[] } = message.reactions;
  return `${message.seq} ${replyTo ?? ""} ${Object.keys(reactions).join()}`;
}
