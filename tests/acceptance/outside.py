"""A machine played by a network namespace, with an "internet" behind its one link that has a registry with TLS.

For tests of regions whose tasks reach out; nothing leaves the real machine. The registry's address is one that gateways
carry packets to, and exists in the played internet alone. Processes are the machine's that are started within `host`.
"""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neargate.hostnet import netlink
from neargate.hostnet.namespaces import Namespaces
from neargate.hostnet.netlink import Netlink
from neargate.testing import oci_image
from neargate.testing.netlab import entered
from neargate.testing.registry import RunningRegistry

from .region import wait_for
from .registries import PREFIX

REGISTRY = "11.22.33.44:443"
_ADDRESS = REGISTRY.partition(":")[0]
_CERTIFY = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=outside"
_HOST, _GATEWAY = "198.51.100.2", "198.51.100.1"
_MACS = ("0a:00:00:00:ff:01", "0a:00:00:00:ff:02")


class Outside:
    """`host`: the played machine's namespace. `authority`: path of what its programs must trust."""

    def __init__(self, folder: Path, registry: Path) -> None:
        self._folder = folder
        self._registry = registry
        self._namespaces = Namespaces(folder / "played", _die)
        self.host = str(folder / "played" / "host")
        self._internet = str(folder / "played" / "internet")
        self.authority = folder / "cert.pem"

    def make_links(self) -> None:
        for name in ("host", "internet"):
            self._namespaces.ensure(name)
        with entered(self.host), Netlink() as host, entered(self._internet), Netlink() as internet:
            with self._namespaces.opened("internet") as target:
                pair = netlink.veth("eth0", _MACS[0], peer="eth0", peer_mac=_MACS[1], peer_namespace=target, mtu=1500)
                host.run([pair])
            for links, own, other in ((host, _HOST, _GATEWAY), (internet, _GATEWAY, _HOST)):
                index = links.existing("eth0").index
                links.run([netlink.link_up(links.existing("lo").index), netlink.link_up(index)])
                links.run([netlink.address(index, own), netlink.route(f"{other}/32", index)])
            index = host.existing("eth0").index
            host.run([netlink.route("0.0.0.0/0", index, via=_GATEWAY)])
            internet.run([netlink.address(internet.existing("lo").index, _ADDRESS)])
            host.settle("eth0")
            internet.settle("eth0")

    def serve(self, *repositories: str) -> "subprocess.Popen[bytes]":
        """The registry, with the test image as tag `1` of these."""
        folder = self._registry
        config: dict[str, object] = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin"]}
        image = oci_image.build_image([oci_image.busybox_layer()], config=config)
        with entered(self._internet):
            plain = RunningRegistry(str(folder))
            for repository in repositories:
                oci_image.push(plain.address, repository, "1", image)
            plain.stop()
            certify = f"{_CERTIFY} -addext subjectAltName=IP:{_ADDRESS} -keyout key.pem -out {self.authority}"
            subprocess.run(certify.split(), cwd=self._folder, capture_output=True, check=True)
            key = self._folder / "key.pem"
            (folder / "config.yml").write_text(
                "version: 0.1\nlog: {level: error, accesslog: {disabled: false}}\n"
                f"storage: {{filesystem: {{rootdirectory: {folder}/storage}}}}\n"
                f'http: {{addr: "{REGISTRY}", secret: x, tls: {{certificate: {self.authority}, key: {key}}}}}\n'
            )
            with (folder / "access").open("wb") as log:
                process = subprocess.Popen(plain.instance.command(), stdout=log, stderr=log, start_new_session=True)
            wait_for("the registry listens", _listens)
        return process

    def requests(self) -> list[str]:
        """The paths that were asked of the registry."""
        lines = (self._registry / "access").read_text().splitlines()
        return [words[6] for line in lines if len(words := line.split()) > 6 and words[6].startswith("/v2/")]

    def close(self) -> None:
        for name in ("host", "internet"):
            self._namespaces.delete(name)


def _listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_ADDRESS, 443)) == 0


@contextmanager
def outside(*repositories: str) -> Iterator[Outside]:
    """With a registry that has these; the calling thread is on the played machine for the length of the block."""
    mine = f"{PREFIX}-{os.getpid()}-"  # what a killed run leaves is ended by the next
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(prefix=mine) as registry:
        made = Outside(Path(folder), Path(registry))
        made.make_links()
        process = None
        try:
            process = made.serve(*repositories)
            with entered(made.host):
                yield made
        finally:
            if process is not None:
                process.terminate()
                process.wait(10)
            made.close()


def _die(reason: str) -> None:
    raise AssertionError(reason)
