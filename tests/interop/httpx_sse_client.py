"""httpx-sse, which does not reconnect by itself: this does so as its documentation shows."""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse

last_event_id, delay = "", 3.0
while True:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    try:
        with httpx.Client(timeout=60) as client, connect_sse(client, "GET", sys.argv[1], headers=headers) as source:
            for event in source.iter_sse():
                last_event_id = event.id or last_event_id
                delay = (event.retry or delay * 1000) / 1000
                content = json.loads(event.data)
                named = event.event != "message"
                print(json.dumps({"type": event.event, "data": content} if named else content), flush=True)
    except httpx.TransportError:
        time.sleep(delay)
