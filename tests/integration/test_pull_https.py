"""Registries over https: whose certificates are believed, and what the owner of an image reads when one is not.

The registry is Debian's, in a network namespace of the test's own: an address that is not loopback, on no host link.
"""

import datetime
import ipaddress
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from neargate.hostnet import netlink
from neargate.hostnet.netlink import Netlink
from neargate.interfaces.sandbox import Image, PullRequest, SandboxError
from neargate.sandbox.engine import ContainerdSandbox
from neargate.sandbox.pull.proxies import DIRECT, Proxies, proxies_of
from neargate.testing.container_rig import ContainerRig
from neargate.testing.netlab import entered, listener_in, socket_in
from neargate.testing.oci_image import Entry, build_image, build_layer, push
from neargate.testing.registry import RunningRegistry

pytestmark = pytest.mark.root

ADDRESS = "10.9.8.7"
PORT = 5000
BUILT = build_image([build_layer([Entry(path="file", content=b"over https")])])
POLLS_MAX = 1000


class Authority:
    """A certificate authority below `directory`; `bundle` is what an operator would trust."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = self._builder(self._name, self._key, days=(-1, 1))
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.bundle = directory / f"{name}.pem"
        self.bundle.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: tuple[int, int]
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        begin, end = (now + datetime.timedelta(days=number) for number in days)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        return builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)

    def issue(self, name: str, *, address: str = ADDRESS, days: tuple[int, int] = (-1, 1)) -> tuple[str, str]:
        """Paths of a server's certificate and key, for an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, days=days)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        paths = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        paths[1].write_bytes(key.private_bytes(*form))
        return str(paths[0]), str(paths[1])


@pytest.fixture(scope="module")
def rig() -> Iterator[ContainerRig]:
    rig = ContainerRig()
    try:
        with entered(rig.netns_path), Netlink() as links:
            loopback = links.existing("lo").index
            links.run([netlink.link_up(loopback), netlink.address(loopback, ADDRESS)])
        yield rig
    finally:
        rig.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "operators")


@pytest.fixture(scope="module")
def registry(rig: ContainerRig, authority: Authority) -> Iterator[str]:
    """Address of a registry that speaks https alone and has the image `secure`."""
    filling = RunningRegistry(rig.made("https-registry"))
    try:
        push(filling.address, "secure", "latest", BUILT)
    finally:
        filling.stop()
    certificate, key = authority.issue("right")
    config = Path(filling.instance.directory) / "https.yml"
    storage = json.dumps(str(Path(filling.instance.directory) / "storage"))
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {storage}}}}}\n"
        f"http: {{addr: '{ADDRESS}:{PORT}', secret: neargate, tls: {{certificate: {certificate}, key: {key}}}}}\n"
    )
    with (config.parent / "https.log").open("wb") as log:
        process = subprocess.Popen(
            ["nsenter", f"--net={rig.netns_path}", "docker-registry", "serve", str(config)], stdout=log, stderr=log
        )
    try:
        for _ in range(POLLS_MAX):
            with socket_in(rig.netns_path) as probe:
                probe.setblocking(True)
                if probe.connect_ex((ADDRESS, PORT)) == 0:
                    break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.02)
        yield f"{ADDRESS}:{PORT}"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def server_with(rig: ContainerRig, certificate: tuple[str, str] | None) -> Iterator[str]:
    """A server with that certificate, or none at all (plain HTTP), that never comes to answer a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    with listener_in(rig.netns_path, ADDRESS, 0) as listener:
        listener.settimeout(30)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.settimeout(10)
                        if certificate is None:
                            connection.recv(1000)
                            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                        else:
                            context.wrap_socket(connection, server_side=True).recv(1)
                    except OSError:
                        continue  # the client did not believe us, which is right

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"{ADDRESS}:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(2)
            thread.join(30)


def pull(rig: ContainerRig, reference: str, *, proxies: Proxies | None = None) -> Image:
    """From inside the rig's namespace, or from the host through the proxies."""

    async def inside() -> str:
        return rig.netns_path

    netns_path = inside if proxies is None else None

    async def story(engine: ContainerdSandbox) -> Image:
        request = PullRequest(reference=reference, account="123456789012", netns_path=netns_path)
        return await engine.pull_image(request, lambda *_: None)

    return rig.run(story, proxies=proxies or DIRECT)


@contextmanager
def proxy_into(rig: ContainerRig, authorization: bytes) -> Iterator[str]:
    """A proxy on loopback whose other side is in the rig's namespace, for whoever shows its authorization."""
    with listener_in(None, "127.0.0.1", 0) as listener:
        listener.settimeout(30)

        def pump(source: socket.socket, target: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # one of the two is gone, and the other hears of it

        def serve(client: socket.socket) -> None:
            with client, socket_in(rig.netns_path) as far:
                client.settimeout(30)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    came = client.recv(4096)
                    if not came:
                        return  # it hung up
                    head += came
                if b"Proxy-Authorization: " + authorization + b"\r\n" not in head:
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    return
                host, _, port = head.split(b" ")[1].decode().rpartition(":")
                far.settimeout(30)
                far.connect((host, int(port)))
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=pump, args=(far, client))
                back.start()
                pump(client, far)
                back.join(60)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(2)
            thread.join(30)


def refusal(rig: ContainerRig, address: str, name: str = "secure") -> str:
    """What is said after the request; everything before is checked here."""
    with pytest.raises(SandboxError) as caught:
        pull(rig, f"{address}/{name}")
    head = (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
        f"{address}/{name}:latest: failed to do request: "
        f'Head "https://{address}/v2/{name}/manifests/latest": '
    )
    assert caught.value.reason.startswith(head), caught.value.reason
    return caught.value.reason.removeprefix(head)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an operator says it: in the environment of the agent."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))


@pytest.mark.usefixtures("trusted")
def test_an_authority_that_the_operator_trusts(rig: ContainerRig, registry: str) -> None:
    assert pull(rig, f"{registry}/secure").digest == BUILT.digest


def test_the_machines_own_directory_of_authorities(
    rig: ContainerRig, registry: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What update-ca-certificates makes: certificates named by the hash of their subject."""
    (tmp_path / "operators.pem").write_bytes(authority.bundle.read_bytes())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, timeout=30)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert pull(rig, f"{registry}/secure@{BUILT.digest}").digest == BUILT.digest


def test_an_authority_that_nobody_trusts(rig: ContainerRig, registry: str) -> None:
    unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    assert refusal(rig, registry) == unknown


@pytest.mark.usefixtures("trusted")
def test_another_authority_of_the_same_name(rig: ContainerRig, tmp_path: Path) -> None:
    impostor = Authority(tmp_path, "operators")
    with server_with(rig, impostor.issue("right")) as address:
        assert refusal(rig, address).endswith("x509: certificate signed by unknown authority")


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_somebody_else(rig: ContainerRig, authority: Authority) -> None:
    with server_with(rig, authority.issue("other", address="10.9.8.6")) as address:
        assert refusal(rig, address) == (
            f"tls: failed to verify certificate: x509: certificate is valid for other names, not {ADDRESS}"
        )


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("days", [(-10, -2), (2, 10)], ids=["expired", "not yet valid"])
def test_a_certificate_out_of_its_time(rig: ContainerRig, authority: Authority, days: tuple[int, int]) -> None:
    with server_with(rig, authority.issue("late", days=days)) as address:
        expired = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"
        assert refusal(rig, address) == expired


@pytest.mark.usefixtures("trusted")
def test_a_registry_that_speaks_plain_http(rig: ContainerRig) -> None:
    with server_with(rig, None) as address:
        assert refusal(rig, address) == "http: server gave HTTP response to HTTPS client"


@pytest.mark.usefixtures("trusted")
def test_a_registry_behind_a_proxy(rig: ContainerRig, registry: str) -> None:
    """The namespace has no link to the host: only the proxy leads there. TLS is with the registry, not with it."""
    with proxy_into(rig, b"Basic dXA6cHc=") as proxy:
        assert pull(rig, f"{registry}/secure", proxies=proxies_of({"HTTPS_PROXY": f"http://up:pw@{proxy}"})).digest == (
            BUILT.digest
        )
        with pytest.raises(SandboxError) as caught:
            pull(rig, f"{registry}/secure", proxies=proxies_of({"HTTPS_PROXY": f"http://{proxy}"}))
    assert caught.value.reason.endswith("proxyconnect tcp: 407 Proxy Authentication Required")
