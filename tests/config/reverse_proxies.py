"""Reverse proxies in front of a server, each with the configuration of this repository, on a port of its own."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from service.common.child_process import die_with_parent
from tests.running import ROOT, eventually


class Site(NamedTuple):
    """What a proxy is started with: a folder for its files, its port, the address behind it, and a certificate with its
    key in one file (None: plain HTTP)."""

    folder: Path
    port: int
    upstream: str
    certificate: Path | None


def configuration(name: str, *replacements: tuple[str, str]) -> str:
    """The text of a file of `config/`, with ports and addresses of the test. Each replaced text must be there."""
    text = (ROOT / "config" / name).read_text()
    for old, new in replacements:
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def nginx(site: Site) -> Sequence[str]:
    tls = (
        f" ssl; ssl_certificate {site.certificate}; ssl_certificate_key {site.certificate}" if site.certificate else ""
    )
    server = configuration("nginx/loa.conf", ("listen 80;", f"listen 127.0.0.1:{site.port}{tls};"))
    upstream = configuration("nginx/upstream.conf", ("server 127.0.0.1:8000;", f"server {site.upstream};"))
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {site.folder}/{name};" for name in temporary)
    # Without a master, nginx stays the user that runs the tests and may write into the folder.
    main = f"pid {site.folder}/pid; error_log {site.folder}/error.log; daemon off; master_process off; events {{}}"
    file = site.folder / "nginx.conf"
    file.write_text(f"{main}\nhttp {{ access_log off; {paths}\n{upstream}\n{server}\n}}\n")
    return ["nginx", "-p", str(site.folder), "-c", str(file)]


def haproxy(site: Site) -> Sequence[str]:
    tls = f" ssl crt {site.certificate} alpn http/1.1" if site.certificate else ""
    file = site.folder / "haproxy.cfg"
    file.write_text(
        configuration(
            "haproxy/haproxy.cfg",
            ("maxconn 50000", "maxconn 500"),
            ("    bind :80\n", f"    bind 127.0.0.1:{site.port}{tls}\n"),
            ("server one 127.0.0.1:8000", f"server one {site.upstream}"),
        )
    )
    return ["haproxy", "-db", "-f", str(file)]


def caddy(site: Site) -> Sequence[str]:
    address = f"https://127.0.0.1:{site.port}" if site.certificate else f"http://127.0.0.1:{site.port}"
    tls = f"\ttls {site.certificate} {site.certificate}\n" if site.certificate else ""
    file = site.folder / "Caddyfile"
    text = configuration("caddy/Caddyfile", ("\n:80 {\n", f"\n{address} {{\n{tls}"), ("127.0.0.1:8000", site.upstream))
    file.write_text("{\n\tadmin off\n\tauto_https off\n\tskip_install_trust\n}\n" + text)
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


def apache(site: Site) -> Sequence[str]:
    modules = ["mpm_event", "authz_core", "headers", "proxy", "proxy_http", "proxy_wstunnel"]
    tls = ""
    if site.certificate:
        modules += ["socache_shmcb", "ssl"]
        tls = f"SSLEngine on\nSSLCertificateFile {site.certificate}\n"
    host = configuration(
        "apache/loa.conf",
        ("<VirtualHost *:80>\n", f"<VirtualHost 127.0.0.1:{site.port}>\n{tls}"),
        ("http://127.0.0.1:8000/", f"http://{site.upstream}/"),
    )
    loading = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in modules)
    file = site.folder / "apache.conf"
    file.write_text(
        f"ServerRoot {site.folder}\nServerName localhost\nDefaultRuntimeDir {site.folder}\nPidFile {site.folder}/pid\n"
        f"ErrorLog {site.folder}/error.log\n{loading}Listen 127.0.0.1:{site.port}\n{host}"
    )
    return ["apache2", "-X", "-f", str(file)]


def varnish(site: Site) -> Sequence[str]:
    host, port = site.upstream.split(":")
    # Its processes are another user, who may not enter the folder of the tests.
    working = Path(tempfile.mkdtemp(prefix="loa-varnish-"))
    working.chmod(0o755)
    file = working / "loa.vcl"
    file.write_text(
        configuration("varnish/loa.vcl", ('.host = "127.0.0.1"', f'.host = "{host}"'), ('"8000"', f'"{port}"'))
    )
    listen = f"127.0.0.1:{site.port}"
    return ["varnishd", "-F", "-n", str(working / "run"), "-a", listen, "-f", str(file), "-s", "malloc,16M"]


PROXIES: dict[str, Callable[[Site], Sequence[str]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "caddy": caddy,
    "apache": apache,
    "varnish": varnish,
}


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    file = folder / "site.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    outputs = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *names, *outputs], check=True, capture_output=True)
    file.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return file


@contextmanager
def running_proxy(name: str, site: Site) -> Iterator[str]:
    """The URL of a running proxy. Skips the test if the program is not installed."""
    command = PROXIES[name](site)
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    with (site.folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=die_with_parent())  # noqa: PLW1509
    try:
        eventually(lambda: process.poll() is not None or accepts_connections(site.port), 20)
        assert process.poll() is None, (site.folder / "output").read_text()
        yield f"{'https' if site.certificate else 'http'}://127.0.0.1:{site.port}"
    finally:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            # It waits for connections that the tests have left.
            process.kill()
            process.wait()
