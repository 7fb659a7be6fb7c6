"""A registered user, and the API calls that tests make on the user's behalf."""

import json
import time
from itertools import count
from typing import Any

import httpx

from tests.running import Server

PASSWORD = "correct horse battery"
SESSION_KEY = "loa:session"
"""Where `service/web/client/session.js` keeps the session in `localStorage`."""

user_numbers = count(1)


class User:
    """A user with an account on `server`. Calls raise `httpx.HTTPStatusError` for an error response."""

    def __init__(self, http: httpx.Client, server: Server, name: str, session: dict[str, Any]) -> None:
        self.name = name
        self.server = server
        self.id: str = session["user"]["id"]
        self.username: str = session["user"]["username"]
        self._http = http
        self._session = session
        self._session_in_use = False

    @classmethod
    def register(cls, http: httpx.Client, server: Server, name: str) -> "User":
        username = f"user{next(user_numbers)}.{server.process.pid}"
        body = {"username": username, "password": PASSWORD, "display_name": name}
        response = http.post(f"{server.url}/api/v1/auth/register", json=body).raise_for_status()
        return cls(http, server, name, response.json())

    def sign_in(self) -> None:
        """Start another session; further calls use its token."""
        self._session = self.post("/auth/login", username=self.username, password=PASSWORD)

    def new_token(self) -> str:
        """Return an access token of a session of its own."""
        body = {"username": self.username, "password": PASSWORD}
        response = self._http.post(f"{self.server.url}/api/v1/auth/login", json=body).raise_for_status()
        return str(response.json()["access_token"])

    def sign_in_script(self) -> str:
        """Return a script that signs in a new page before it loads, by storing a session as the app does.

        Each call has a session of its own, like a device. The script runs again on each navigation of the page, but
        stores the session only once: the app may have refreshed or removed it since.
        """
        if self._session_in_use:
            self.sign_in()
        self._session_in_use = True
        issued_at = round(time.time() * 1000)
        expires_at = issued_at + self._session["expires_in"] * 1000
        kept = {name: self._session[name] for name in ("user", "access_token", "refresh_token")}
        value = json.dumps({**kept, "issued_at": issued_at, "expires_at": expires_at})
        origin, key, value = map(json.dumps, (self.server.url, SESSION_KEY, value))
        return f"""
            if (location.origin === {origin} && !sessionStorage.getItem("signed-in")) {{
              sessionStorage.setItem("signed-in", "yes");
              localStorage.setItem({key}, {value});
            }}"""

    def get(self, path: str) -> Any:
        return self._request("GET", path)

    def post(self, path: str, **body: object) -> Any:
        return self._request("POST", path, body)

    def put(self, path: str, **body: object) -> Any:
        return self._request("PUT", path, body or None)

    def patch(self, path: str, **body: object) -> Any:
        return self._request("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self._request("DELETE", path)

    def list(self, path: str) -> Any:
        """Return the items of a list resource."""
        return self._request("GET", path)["items"]

    def create_conversation(self, *others: "User", title: str | None = None) -> str:
        """Create a conversation and return its id."""
        ids = [other.id for other in others]
        return str(self.post("/conversations", participant_ids=ids, title=title)["id"])

    def send_message(self, conversation_id: str, content: str, **fields: object) -> Any:
        return self.post(f"/conversations/{conversation_id}/messages", content=content, **fields)

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file and return its id."""
        url = f"{self.server.url}/api/v1/attachments"
        response = self._http.post(url, params={"name": name}, headers=self._headers, content=content)
        return str(response.raise_for_status().json()["id"])

    def comment(self, post_id: str, content: str, **fields: object) -> Any:
        return self.post(f"/posts/{post_id}/comments", content=content, **fields)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._session['access_token']}"}

    def _request(self, method: str, path: str, body: object = None) -> Any:
        url = f"{self.server.url}/api/v1{path}"
        response = self._http.request(method, url, headers=self._headers, json=body).raise_for_status()
        return response.json() if response.content else None
