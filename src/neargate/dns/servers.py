"""Who is asked for names that are not ours: the `nameserver` lines of a resolv.conf (resolv.conf(5))."""

from collections.abc import Collection
from ipaddress import ip_address

SERVERS_MAX = 3  # glibc's
_DEFAULT = ("127.0.0.1",)
_TEXT_MAX_BYTES = 64 * 1024


def servers_of(text: str, *, never: Collection[str] = ()) -> tuple[str, ...]:
    """Addresses in order. `never`: our own: whoever asks itself waits for ever."""
    found: list[str] = []
    for line in text[:_TEXT_MAX_BYTES].splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = str(ip_address(words[1]))
        except ValueError:
            continue
        if address not in found:
            found.append(address)
    return tuple(address for address in found[:SERVERS_MAX] or _DEFAULT if address not in never)
