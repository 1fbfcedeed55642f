"""The reverse proxy of an installation: nginx itself, with deploy/nginx.conf but for the addresses and the paths, and
for how long it keeps connections that it does not use."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from tests.support.certificates import make_certificate
from tests.support.server import ROOT, free_port
from tests.support.waiting import wait_until


def program() -> str:
    """Where nginx is. It is beside the programs of administrators, which not every PATH names."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        sys.exit("nginx is needed: on Debian or Ubuntu, apt-get install nginx-light")
    return found


@dataclass(frozen=True)
class Proxy:
    """nginx, as it runs: where it answers https, and the file of its certificate."""

    address: str
    certificate: Path

    def client(self) -> urllib3.PoolManager:
        """One that knows the certificate, and sends nothing twice."""
        return urllib3.PoolManager(ca_certs=str(self.certificate), retries=False, timeout=30)

    def listens(self) -> bool:
        try:
            self.client().request("GET", f"https://{self.address}/livez")
        except urllib3.exceptions.HTTPError:
            return False
        return True


@contextmanager
def proxying(directory: Path, servers: Sequence[str]) -> Iterator[Proxy]:
    """Runs it in front of these addresses until the block ends."""
    address, configuration = f"127.0.0.1:{free_port()}", directory / "nginx.conf"
    certificate = make_certificate(directory)
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for shipped, ours in {
        "pid /run/nginx.pid;": f"pid {directory}/nginx.pid;\ndaemon off;",
        "access_log /var/log/nginx/access.log json;": f"access_log {directory}/access.log json;"
        + "".join(f" {of}_temp_path {directory}/{of};" for of in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")),
        "listen 80 default_server;": f"listen 127.0.0.1:{free_port()} default_server;",
        "listen 443 ssl default_server;": f"listen {address} ssl default_server;",
        "tls/fullchain.pem;": f"{certificate};",
        "tls/privkey.pem;": f"{certificate};",
        "keepalive_timeout 10s;": "keepalive_timeout 1s;",  # servers wait for that when they stop
    }.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, ours)
    upstream, rest = text.split("    upstream application {", 1)
    named, rest = rest.split("keepalive 16;", 1)
    (options,) = {line.split(":8000")[1] for line in named.splitlines() if ":8000" in line}
    lines = "".join(f"server {server}{options}\n" for server in servers)
    configuration.write_text(f"{upstream}    upstream application {{\n{lines}keepalive 16;{rest}")
    with (directory / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            [program(), "-e", "stderr", "-p", directory, "-c", configuration], stdout=log, stderr=log
        )
    try:
        proxy = Proxy(address, certificate)
        wait_until(proxy.listens, "nginx listens")
        yield proxy
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":  # deploy/test.sh asks whether it is there
    program()
