"""What a terminal said, cut into events of a log stream: text, by lines where it has lines. Pure.

Owns what an event may hold. Must not know where it goes. Invariant: every byte of the output is in one event, in order,
but line ends at the end of an event; what is no UTF-8 shows as U+FFFD.
"""

# Three bytes stand for one that is no text, and an event of CloudWatch Logs has 256 KiB with what is around it.
EVENT_MAX_BYTES = 80 * 1024
EVENTS_MAX = 4  # of one call, which has a MiB
_CONTINUES = 0x80  # the first two bits of a byte that goes on with a character
_CHARACTER_MAX = 4


def events(output: bytes, *, is_last: bool) -> tuple[list[str], bytes]:
    """(messages of events, what is kept back: a line that has not ended, unless this is the last output)."""
    found: list[str] = []
    while output:
        size = _size_of_first(output, is_last=is_last)
        if not size:
            break
        message = output[:size].decode("utf-8", errors="replace").replace("\r\n", "\n")
        output = output[size:]
        message = message.removesuffix("\n")
        if message:
            found.append(message)
    return found, output


def _size_of_first(output: bytes, *, is_last: bool) -> int:
    """Bytes; 0: nothing is whole yet."""
    if is_last and len(output) <= EVENT_MAX_BYTES:
        return len(output)
    lines = output.rfind(b"\n", 0, EVENT_MAX_BYTES) + 1
    if lines or len(output) < EVENT_MAX_BYTES:
        return lines
    end = EVENT_MAX_BYTES
    while EVENT_MAX_BYTES - end < _CHARACTER_MAX and end < len(output) and output[end] & 0xC0 == _CONTINUES:
        end -= 1  # no character is cut in two
    return end
