"""Root in a guest, outside all containers: a program of a test's own, put there by the channel and run by it."""

import subprocess
from pathlib import Path

from neargate.sandbox.microvm.guest import Guest
from neargate.world import within

PROGRAM = "/run/guest_look"
VEIL = 0x5A
_RUN_S = 300.0


def compiled(directory: Path, name: str = "guest_look") -> bytes:
    """A program for any guest, of the file `name`.c beside this one."""
    program, source = directory / name, Path(__file__).with_name(f"{name}.c")
    flags = ("-std=gnu11", "-O2", "-static", "-s", "-Wall")
    subprocess.run(["musl-gcc", *flags, "-o", program, source], check=True)
    return program.read_bytes()


def veiled(word: str) -> str:
    """As the program is told what to look for."""
    return bytes(one ^ VEIL for one in word.encode()).hex()


async def said(guest: Guest, program: bytes, *words: str) -> list[str]:
    """The lines of one run of it."""
    await guest.file(PROGRAM, program, mode=0o700)
    process = await guest.run((PROGRAM, *words))
    text = b""

    async def whole() -> None:
        nonlocal text
        async for more in process.output():
            text += more

    await within(_RUN_S, whole())
    assert await process.wait() == 0, text
    await process.forget()
    return text.decode().splitlines()
