"""What a host's agent does at the beginning of each connection, for tests that speak the link message by message."""

import msgspec

from ..agent.simulated import NO_SEED
from ..link.host_identity import BULK, LINK, HostKey, simulated_key
from ..link.messages import BulkHello, Challenge, Hello, Proof, ToServer


def key_of(host_id: str) -> HostKey:
    """The key that simulated hosts of tests have, too."""
    return simulated_key(NO_SEED, host_id)


class Proving:
    """Stands between a test and its connection: answers the challenge, and holds back what comes before that."""

    def __init__(self) -> None:
        self._hello: Hello | BulkHello | None = None
        self._held: list[ToServer] | None = None  # None: nothing is held back

    @property
    def is_asked(self) -> bool:
        """A hello went out by `say`; of one that another put on the connection nothing is known here."""
        return self._held is not None

    def say(self, message: ToServer) -> list[ToServer]:
        """What goes out now. A hello without a key gets that of the host which it names."""
        if self._held is not None:
            self._held.append(message)
            return []
        if isinstance(message, Hello | BulkHello):
            self._hello, self._held = message, []
        if isinstance(message, Hello) and not message.public_key:
            return [msgspec.structs.replace(message, public_key=key_of(message.host.host_id).public)]
        return [message]

    def challenged(self, challenge: Challenge) -> list[ToServer]:
        hello, held = self._hello, self._held or []
        assert hello is not None, "a challenge follows a hello"
        self._held = None
        channel, host_id = (LINK, hello.host.host_id) if isinstance(hello, Hello) else (BULK, hello.host_id)
        return [Proof(signature=key_of(host_id).sign(channel, challenge.nonce, host_id)), *held]
