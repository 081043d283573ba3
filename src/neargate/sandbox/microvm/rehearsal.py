"""What a guest does before it is saved, so that those which go on from it need not do it again: its tools are read.

Knows no task: nothing of the rehearsal can be told from outside but that it was quick.
"""

from .errors import GuestRefused
from .guest import Guest
from .runtime import CRUN


async def rehearse(guest: Guest) -> None:
    """Raises GuestGone. That a rehearsal fails is no failure."""
    for words in ((CRUN, "--version"), (CRUN, "list")):
        try:
            process = await guest.run(words)
            await process.wait()
            await process.forget()
        except GuestRefused:
            return
