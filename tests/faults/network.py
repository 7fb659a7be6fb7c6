"""A network of its own, whose cable can be pulled: the kernel's, so that not even an acknowledgement comes through."""

import asyncio
import ctypes
import os
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from tests.faults.catalogue import Missing
from tests.proxy import Proxy

CLONE_NEWNET = 0x40000000


class Network:
    """A namespace that is joined to ours by a cable; `host`: our address, as seen from there."""

    def __init__(self) -> None:
        tag = secrets.token_hex(3)
        self._name, self._here, self._there = f"loa-{tag}", f"loa-a{tag}", f"loa-b{tag}"
        # 198.18.0.0/15 is for measurements of networks (RFC 2544): nobody's machine is there.
        self._net = f"198.18.{secrets.randbelow(256)}"
        self.host = f"{self._net}.1"
        self._thread = ThreadPoolExecutor(1)

    async def lay(self) -> None:
        """Raises Missing where this is not allowed."""
        try:
            _ip("netns", "add", self._name)
            _ip("link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self._name)
            _ip("addr", "add", f"{self.host}/24", "dev", self._here)
            _ip("link", "set", self._here, "up")
            _ip("-n", self._name, "addr", "add", f"{self._net}.2/24", "dev", self._there)
            _ip("-n", self._name, "link", "set", self._there, "up")
        except (FileNotFoundError, subprocess.CalledProcessError):
            self.remove()
            raise Missing("the right to make a network namespace") from None
        await asyncio.get_running_loop().run_in_executor(self._thread, self._enter)

    async def connect(self, address: tuple[str, int]) -> socket.socket:
        """A connection from over there."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, socket.create_connection, address)

    def pull(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        _ip("-n", self._name, "addr", "flush", "dev", self._there)

    def remove(self) -> None:
        self._thread.shutdown()
        for command in (("link", "del", self._here), ("netns", "del", self._name)):
            subprocess.run(["ip", *command], capture_output=True, check=False)

    def _enter(self) -> None:
        """Of a thread alone: the sockets that it makes are over there, whoever uses them."""
        descriptor = os.open(f"/run/netns/{self._name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
                raise Missing("setns")
        finally:
            os.close(descriptor)


class FarProxy(Proxy):
    """A proxy that reaches the server from over there."""

    def __init__(self, url: str, network: Network) -> None:
        super().__init__(url)
        self._network = network

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = await self._network.connect((self._parts.hostname or "", self._parts.port or 0))
        return await asyncio.open_connection(sock=sock)


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    laid = Network()
    await laid.lay()
    try:
        yield laid
    finally:
        laid.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=True)
