"""A network namespace that can be disconnected: the kernel drops everything, even TCP acknowledgements."""

import asyncio
import ctypes
import os
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from tests.faults.catalogue import RequirementMissing
from tests.proxy import Proxy

CLONE_NEWNET = 0x40000000


class NetworkNamespace:
    """A network namespace connected to ours by a veth pair. `host` is our address as seen from inside."""

    def __init__(self) -> None:
        tag = secrets.token_hex(3)
        self._name, self._here, self._there = f"loa-{tag}", f"loa-a{tag}", f"loa-b{tag}"
        # 198.18.0.0/15 is reserved for network benchmarks (RFC 2544), so no real machine uses it.
        self._net = f"198.18.{secrets.randbelow(256)}"
        self.host = f"{self._net}.1"
        self._thread = ThreadPoolExecutor(1)

    async def create(self) -> None:
        """Create the namespace. Raises RequirementMissing if this is not permitted."""
        try:
            _ip("netns", "add", self._name)
            _ip("link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self._name)
            _ip("addr", "add", f"{self.host}/24", "dev", self._here)
            _ip("link", "set", self._here, "up")
            _ip("-n", self._name, "addr", "add", f"{self._net}.2/24", "dev", self._there)
            _ip("-n", self._name, "link", "set", self._there, "up")
        except (FileNotFoundError, subprocess.CalledProcessError):
            self.remove()
            raise RequirementMissing("permission to create a network namespace") from None
        await asyncio.get_running_loop().run_in_executor(self._thread, self._enter)

    async def connect(self, address: tuple[str, int]) -> socket.socket:
        """Open a connection from inside the namespace."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, socket.create_connection, address)

    def disconnect(self) -> None:
        """Drop all packets from now on, without telling either end."""
        _ip("-n", self._name, "addr", "flush", "dev", self._there)

    def remove(self) -> None:
        self._thread.shutdown()
        for command in (("link", "del", self._here), ("netns", "del", self._name)):
            subprocess.run(["ip", *command], capture_output=True, check=False)

    def _enter(self) -> None:
        """Enter the namespace in this thread: the sockets that it creates are inside, whichever thread uses them."""
        descriptor = os.open(f"/run/netns/{self._name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
                raise RequirementMissing("setns")
        finally:
            os.close(descriptor)


class NamespaceProxy(Proxy):
    """A proxy that connects to the server from inside the namespace."""

    def __init__(self, url: str, namespace: NetworkNamespace) -> None:
        super().__init__(url)
        self._namespace = namespace

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = await self._namespace.connect((self._parts.hostname or "", self._parts.port or 0))
        return await asyncio.open_connection(sock=sock)


@asynccontextmanager
async def network_namespace() -> AsyncIterator[NetworkNamespace]:
    namespace = NetworkNamespace()
    await namespace.create()
    try:
        yield namespace
    finally:
        namespace.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=True)
