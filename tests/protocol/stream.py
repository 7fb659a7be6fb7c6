"""A client of the notification stream, which reads it as a browser's `EventSource` does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.protocol.contract import Contract
from tests.protocol.received_events import ReceivedEvents
from tests.protocol.sse import Parser

CHANNEL = "notification_stream"
END_OF_STREAM = 0


class Stream(ReceivedEvents):
    """Receives events: a named one as `{"type": its name, "data": …}`, a notification as its data."""

    def __init__(self, name: str, response: httpx.Response, contract: Contract) -> None:
        super().__init__(name)
        self.response = response
        self.parser = Parser()
        self._contract = contract
        self._hello_ids: list[str] = []
        """The id that hello set, if any."""
        self._reader = asyncio.create_task(self._read())

    @property
    def port(self) -> int:
        """The client's port, by which the kernel can tell which worker has the other end; see worker_lookup.py."""
        return int(self.response.extensions["network_stream"].get_extra_info("client_addr")[1])

    @property
    def last_event_id(self) -> str:
        """The id that an EventSource would send to resume."""
        return self.parser.id

    async def retry(self, count: int, *, within: float = 20.0) -> int:
        """Wait for the `retry` line of that number, counted from 1, and return its milliseconds."""
        await self._until(lambda: len(self.parser.retries) >= count, "retry line", within)
        return self.parser.retries[count - 1]

    async def disconnect(self) -> None:
        """Close the connection from this side."""
        self._reader.cancel()
        await asyncio.wait([self._reader])
        await self.response.aclose()

    async def _read(self) -> None:
        try:
            async for chunk in self.response.aiter_raw():
                for event in self.parser.feed(chunk):
                    self._take(event.type, event.data, event.id)
                self._arrived.set()  # also for a line that belongs to no event
            self.mark_closed(END_OF_STREAM, "")
        except httpx.HTTPError as error:
            self.mark_closed(END_OF_STREAM, type(error).__name__)
        except BaseException as error:
            self.mark_closed(END_OF_STREAM, f"the client gave up: {error!r}")
            raise

    def _take(self, name: str, data: str, id_: str) -> None:
        assert not self.parser.blocks_without_data
        payload: Any = json.loads(data)
        self._contract.check_event(CHANNEL, "notification" if name == "message" else name, payload)
        if name == "message":
            assert id_ == str(payload["seq"]), "the id of a notification is its seq"
            self.put(payload)
        else:
            self.put({"type": name, "data": payload})
        if name == "hello":
            self._hello_ids = list(self.parser.ids)
            assert self._hello_ids in ([], [str(payload["seq"])])
        # No other named event sets an id: a browser would resume from the last notification.
        assert self.parser.ids == [*self._hello_ids, *(str(seq) for seq in self.seqs)]


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, url: str, name: str, contract: Contract, headers: dict[str, str]
) -> AsyncIterator[Stream]:
    """A stream that is open while the block runs. Raises Refused with the response if its status is not 200."""
    async with client.stream("GET", url, headers=headers, timeout=httpx.Timeout(20.0, read=None)) as response:
        if response.status_code != 200:
            await response.aread()
            raise Refused(response)
        stream = Stream(name, response, contract)
        try:
            yield stream
        finally:
            stream._reader.cancel()
            await asyncio.wait([stream._reader])


class Refused(Exception):
    """The server did not open the stream."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response
