"""nginx with buffering and a 55 s timeout in between: events arrive at once and no connection is cut."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from service.common.child_process import die_with_parent
from tests.cluster import free_port
from tests.faults.catalogue import RequirementMissing
from tests.faults.environment import FaultEnvironment
from tests.faults.traffic import write_comment

QUICK = [{"silence": 0}]
PROXY_TIMEOUT = 55
"""Seconds without traffic after which Heroku's router, and nginx here, cuts a connection."""
DELIVERY_TIMEOUT = 3.0
"""Seconds within which an event must arrive: a buffer that waits until it is full would hold it for ever."""
CONFIGURATION = """
pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering on;
            gzip on;
            gzip_types *;
            proxy_read_timeout {timeout}s;
            proxy_send_timeout {timeout}s;
        }}
    }}
}}
"""


async def run(env: FaultEnvironment, *, silence: int = 130) -> None:
    """`silence`: seconds without any message."""
    server = await env.start_server()
    direct = env.api.url
    author, other = await env.create_users(2)
    group, post = await env.create_group([author, other]), await env.create_post(author)
    await env.record_baseline()
    env.api.url = await env.enter(_nginx(env.directory / "nginx", urlsplit(server.url).netloc))
    sockets = await env.connect_sockets([author, other])
    streams = await env.connect_streams([author])
    for number in (1, 2):
        began = time.monotonic()
        await write_comment(env.api, other, post, number)
        await streams[0].changes.wait_until(
            lambda number=number: streams[0].seq >= number, "the notification", DELIVERY_TIMEOUT
        )
        message = await sockets[0].send(group, f"number {number}")
        await sockets[1].changes.wait_until(
            lambda rev=message["rev"]: sockets[1].rev(group) >= rev, "the message", DELIVERY_TIMEOUT
        )
        env.ledger.note("through nginx after", f"{(time.monotonic() - began) * 1000:.0f} ms")
        if number == 1:
            await asyncio.sleep(silence)
    assert not env.ledger.closes, env.ledger.closes
    assert [1, 1, 1] == [client.connections for client in (*sockets, *streams)], "no client had to reconnect"
    await env.check_messages(group, sockets)
    await env.check_notifications(author, [post], streams)
    env.api.url = direct
    await env.verify()


@asynccontextmanager
async def _nginx(folder: Path, upstream: str) -> AsyncIterator[str]:
    """Run nginx in front of `upstream` and yield its URL. Raises RequirementMissing."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise RequirementMissing("nginx")
    folder.mkdir()
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, upstream=upstream, timeout=PROXY_TIMEOUT))
    process = await asyncio.create_subprocess_exec(
        *(program, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")),
        preexec_fn=die_with_parent(),
    )
    try:
        async with asyncio.timeout(10):
            while True:
                assert process.returncode is None, (folder / "error.log").read_text()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
