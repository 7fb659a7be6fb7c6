"""nginx in between, with buffering on and a patience of 55 s: the stream flows, the socket too, and nothing is cut."""

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
from service.datastores.embedded import free_port
from tests.faults.catalogue import Missing
from tests.faults.stage import Stage
from tests.faults.writers import one_comment

QUICK = [{"silence": 0}]
PATIENCE = 55
"""Seconds without a byte after which Heroku's router cuts a connection, and nginx here."""
FLOWS = 3.0
"""Seconds in which what is said is there: a buffer that waits until it is full would hold it for ever."""
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
            proxy_pass http://{there};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering on;
            chunked_transfer_encoding off;  # the client of these tests reads no chunks
            gzip on;
            gzip_types *;
            proxy_read_timeout {patience}s;
            proxy_send_timeout {patience}s;
        }}
    }}
}}
"""


async def run(stage: Stage, *, silence: int = 130) -> None:
    """`silence`: seconds in which nobody says anything."""
    server = await stage.serve()
    direct = stage.front.url
    author, other = await stage.people(2)
    group, post = await stage.group([author, other]), await stage.post(author)
    await stage.watch_leaks()
    stage.front.url = await stage.enter(_nginx(stage.directory / "nginx", urlsplit(server.url).netloc))
    sockets = await stage.sockets([author, other])
    streams = await stage.streams([author])
    for number in (1, 2):
        began = time.monotonic()
        await one_comment(stage.front, other, post, number)
        await streams[0].changes.until(lambda number=number: streams[0].seq >= number, "the notification", FLOWS)
        message = await sockets[0].say(group, f"number {number}")
        await sockets[1].changes.until(lambda: sockets[1].rev(group) >= message["rev"], "the message", FLOWS)  # noqa: B023
        stage.account.note("through nginx after", f"{(time.monotonic() - began) * 1000:.0f} ms")
        if number == 1:
            await asyncio.sleep(silence)
    assert not stage.account.ended, stage.account.ended
    assert [1, 1, 1] == [client.connections for client in (*sockets, *streams)], "nobody had to come back"
    await stage.audit_messages(group, sockets)
    await stage.audit_notifications(author, [post], streams)
    stage.front.url = direct
    await stage.verify()


@asynccontextmanager
async def _nginx(folder: Path, there: str) -> AsyncIterator[str]:
    """Its URL. Raises Missing."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Missing("nginx")
    folder.mkdir()
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, there=there, timeout=PATIENCE))
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
