/** The page of conversations, in React. `npm run build` bundles it with React; Loa stays the page's own `loa`. */

import { useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { loa } from "/static/loa.js";

function useLoa(pick) {
  return useSyncExternalStore(loa.store.subscribe, () => pick(loa.store.getSnapshot()));
}

function Chat({ first }) {
  const [id, setId] = useState(first);
  const ids = useLoa((state) => state.conversationIds);
  const show = (next) => {
    history.pushState(null, "", `/messages/${next}`);
    setId(next);
  };
  useEffect(() => {
    const onPopState = () => setId(location.pathname.split("/")[2] ?? "");
    addEventListener("popstate", onPopState);
    return () => removeEventListener("popstate", onPopState);
  }, []);
  return (
    <>
      <nav aria-label="Conversations">
        {ids.map((each) => (
          <Row key={each} id={each} current={each === id} onClick={() => show(each)} />
        ))}
        {ids.length || id ? null : <p className="empty">Chats about offers appear here.</p>}
      </nav>
      {id ? <Conversation key={id} id={id} /> : <section className="empty">Choose a conversation.</section>}
    </>
  );
}

function Row({ id, current, onClick }) {
  const { details, lastMessage, unreadCount } = useLoa((state) => state.conversations[id]);
  return (
    <button className="row" aria-current={current} onClick={onClick}>
      <strong>{details.title}</strong>
      <span>{lastMessage?.content ?? ""}</span>
      {unreadCount ? <b className="badge">{unreadCount}</b> : null}
    </button>
  );
}

function Conversation({ id }) {
  const conversation = useLoa((state) => state.conversations[id]);
  const people = useLoa((state) => state.people);
  const userId = useLoa((state) => state.userId);
  const list = useRef(null);
  const { details, messages, pending, typing, hasOlder, unreadCount } = conversation ?? EMPTY;

  useEffect(() => {
    loa.store.openConversation(id).catch(() => {});
    return () => loa.store.closeConversation(id);
  }, [id]);
  useEffect(() => {
    const markRead = () => document.hasFocus() && loa.store.markRead(id);
    markRead();
    addEventListener("focus", markRead);
    return () => removeEventListener("focus", markRead);
  }, [id, unreadCount]);
  useLayoutEffect(() => {
    list.current.scrollTop = list.current.scrollHeight;
  }, [messages.at(-1), pending.length]);

  const name = (user) => people[user]?.display_name ?? "";
  return (
    <section>
      <h1>{details?.title}</h1>
      <ol ref={list} aria-label="Messages">
        {hasOlder ? <button onClick={() => loa.store.loadOlder(id)}>Earlier messages</button> : null}
        {messages.filter(isText).map((message) => (
          <li key={message.nonce ?? message.id} className={message.sender_id === userId ? "own" : ""}>
            {message.sender_id === userId ? null : <strong>{name(message.sender_id)}</strong>}
            <p className="text">{message.deleted ? "Deleted" : message.content}</p>
            <time>{new Date(message.created_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}</time>
          </li>
        ))}
        {pending.map(({ nonce, content, error }) => (
          <li key={nonce} className="own pending">
            <p className="text">{content}</p>
            <time>{error?.detail ?? "sending …"}</time>
          </li>
        ))}
      </ol>
      <p className="typing">{Object.keys(typing).map((user) => `${name(user)} is typing …`)}</p>
      <Composer id={id} />
    </section>
  );
}

function Composer({ id }) {
  const [content, setContent] = useState("");
  const send = (event) => {
    event.preventDefault();
    if (!content.trim()) return;
    loa.socket.send(id, content).catch(() => {}); // the store shows why it failed
    setContent("");
  };
  const change = ({ target: { value } }) => {
    setContent(value);
    loa.socket.typing(id, value !== "");
  };
  return (
    <form className="row" onSubmit={send}>
      <input value={content} onChange={change} placeholder="Write a message" aria-label="Message" maxLength={4000} />
      <button>Send</button>
    </form>
  );
}

/** Other kinds tell what has changed: who joined, a new title. */
const isText = ({ kind = "text" }) => kind === "text";

const EMPTY = { details: null, messages: [], pending: [], typing: {}, hasOlder: false, unreadCount: 0 };

const root = document.getElementById("chat");
createRoot(root).render(<Chat first={root.dataset.conversation} />);
