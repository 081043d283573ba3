"""`--metrics-listen`: where metrics are served. Pure. Invariant: only on loopback, whoever asks for it."""

from ipaddress import ip_address

from .problems import Problem
from .registry_options import address_and_port


def parse(text: str) -> tuple[str, int]:
    """Address and port. Raises Problem."""
    found = address_and_port(text)
    if found is None:
        raise Problem(f"--metrics-listen {text[:100]!r}: write ADDRESS:PORT, for example 127.0.0.1:9464 or [::1]:9464")
    if not ip_address(found[0]).is_loopback:
        raise Problem(
            f"--metrics-listen {text}: metrics are served on loopback only, as the API is, for they ask for no key; "
            "for other machines put a proxy of yours before them, or write `neargate metrics` to a file for the "
            "textfile collector (docs/operating.md)"
        )
    return found


def check(text: str, api_port: int) -> None:
    """Raises Problem."""
    if text and parse(text)[1] == api_port:
        raise Problem(f"--metrics-listen {text}: the API listens at this port; choose another")
