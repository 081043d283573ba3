"""libnftables in this process: nft text in, an exception with nft's own words out.

Owns one library context per namespace. The context's socket belongs to the namespace in which the context was made;
afterwards it works from any thread, one call at a time (the network lane has one thread). One call is one transaction:
all of its text takes effect at one instant or none of it.
"""

import ctypes
import ctypes.util
import json
from typing import Any

_OUTPUT_STATELESS, _OUTPUT_JSON = 1 << 1, 1 << 4


class NftablesError(Exception):
    """The transaction was refused and changed nothing."""


class NftablesMissing(Exception):
    """The library is not installed."""


class Nftables:
    """A context of the calling thread's current namespace."""

    def __init__(self) -> None:
        self._library = _load()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise NftablesError("libnftables gave no context")
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def run(self, text: str) -> str:
        """Apply the text; what it printed (for `list`) is returned."""
        result = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        errors: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if result != 0:
            raise NftablesError(errors.decode(errors="replace").strip()[:2000] or "nftables refused a transaction")
        return output.decode(errors="replace")

    def ruleset(self) -> list[dict[str, Any]]:
        """All tables of the namespace, everybody's, as the objects of `nft -j list ruleset`."""
        return self.objects("ruleset")

    def objects(self, what: str) -> list[dict[str, Any]]:
        """As of `nft -j list WHAT`."""
        listed: list[dict[str, Any]] = json.loads(self._list(what, _OUTPUT_JSON))["nftables"]
        return listed

    def listed(self, what: str) -> str:
        """As of `nft -s list WHAT`: without what has been counted."""
        return self._list(what, _OUTPUT_STATELESS)

    def _list(self, what: str, flags: int) -> str:
        self._library.nft_ctx_output_set_flags(self._context, flags)
        try:
            return self.run(f"list {what}\n")
        finally:
            self._library.nft_ctx_output_set_flags(self._context, 0)

    def close(self) -> None:
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise NftablesMissing("libnftables is missing: apt install libnftables1") from error
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = [ctypes.c_uint32], pointer
    library.nft_ctx_free.argtypes, library.nft_ctx_free.restype = [pointer], None
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [pointer]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes, getattr(library, name).restype = [pointer], text
    library.nft_ctx_output_set_flags.argtypes = [pointer, ctypes.c_uint]
    library.nft_ctx_output_set_flags.restype = None
    library.nft_run_cmd_from_buffer.argtypes = [pointer, text]
    return library
