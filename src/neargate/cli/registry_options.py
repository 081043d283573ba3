"""`--registry-domain` and its companions: how the image registry is reached from other machines. Pure.

Owns their grammar and which go together. Must not know sockets or files. Invariant: without `--registry-listen` the
registry is on loopback only, and it never listens elsewhere where any key is the administrator.
"""

import re
from ipaddress import ip_address

from msgspec import Struct

from .problems import Problem

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15})):([0-9]{1,5})", re.ASCII)
DOMAIN_MAX = 180  # with ACCOUNT.dkr.ecr.REGION. before it, a name has at most 253
_NOT_OURS = ("localhost", "amazonaws.com", "amazonaws.com.cn")


class RegistryOptions(Struct, frozen=True, kw_only=True):
    """As given; empty where not. `domain` may have a port."""

    domain: str = ""
    listen: str = ""
    cert: str = ""
    key: str = ""


def check(given: RegistryOptions, *, is_open: bool, has_proxy: bool) -> None:
    """`is_open`: --auth open. `has_proxy`: one on this machine ends TLS. Raises Problem."""
    if given.domain:
        check_domain(given.domain)
        if not given.listen and not has_proxy:
            raise Problem(
                "--registry-domain needs --registry-listen ADDRESS:PORT, for example 0.0.0.0:443, or a proxy of yours "
                "that ends TLS on this machine: --tls-proxy local"
            )
    if given.listen:
        parse_listen(given.listen)
        if not given.domain:
            raise Problem(
                "--registry-listen needs --registry-domain NAME: the registry of an account is "
                "ACCOUNT.dkr.ecr.REGION.NAME there, and its certificate says so"
            )
        if is_open:
            raise Problem("--registry-listen is not for --auth open, in which anybody who reaches it may do anything")
    if bool(given.cert) != bool(given.key):
        raise Problem("--registry-cert and --registry-key belong together")
    if given.cert and not given.listen:
        raise Problem("--registry-cert is shown by --registry-listen ADDRESS:PORT, which is missing")


def check_domain(text: str) -> None:
    name, colon, port = text.partition(":")
    example = "write a name like images.example.net or images.example.net:5443"
    if len(name) > DOMAIN_MAX or _DOMAIN.fullmatch(name) is None or name.rpartition(".")[2].isdigit():
        raise Problem(f"--registry-domain {text[:DOMAIN_MAX]!r}: {example} (lower case, no address)")
    if colon and not _is_port(port):
        raise Problem(f"--registry-domain {text!r}: {port!r} is no port; {example}")
    if any(name == other or name.endswith(f".{other}") for other in _NOT_OURS):
        raise Problem(f"--registry-domain {text!r}: {name} is not yours; {example}")


def parse_listen(text: str) -> tuple[str, int]:
    """Address and port. Raises Problem."""
    found = address_and_port(text)
    if found is None:
        raise Problem(
            f"--registry-listen {text[:100]!r}: write ADDRESS:PORT, for example 0.0.0.0:443, 192.168.1.5:5443 or "
            "[::]:443"
        )
    return found


def address_and_port(text: str) -> tuple[str, int] | None:
    """Of `127.0.0.1:80`, `[::1]:80`; None for anything else."""
    found = _LISTEN.fullmatch(text)
    try:
        if found is None or not _is_port(found[3]):
            return None
        return str(ip_address(found[1] or found[2])), int(found[3])
    except ValueError:
        return None


def name_of(domain: str) -> str:
    """Without its port: what a certificate is for."""
    return domain.partition(":")[0]


def _is_port(text: str) -> bool:
    return text.isdigit() and 0 < int(text) < 65536
