"""The file in which a machine's operator says which pools of public addresses its region may have. Root's alone.

It lies in the agent's directory, which the server's user cannot enter. Invariant: one that is missing or is not ours
to read allows nothing.
"""

from pathlib import Path

import msgspec

from ..log import get_logger
from ..model.network import POOL_WAYS, PublicPool
from ..uplink.consent import ALLOWED_MAX, objection

CONSENT_FILE = "public-pools.json"  # in the agent's directory
log = get_logger(__name__)


def read_consent(file: Path) -> tuple[PublicPool, ...]:
    """Blocks."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=tuple[PublicPool, ...])
    except (FileNotFoundError, PermissionError):
        return ()
    except (OSError, msgspec.DecodeError) as error:
        log.warning("which pools this host allows cannot be read: none", why=str(error)[:200])
        return ()
    return tuple(one for one in found if one.way in POOL_WAYS and not objection(one.cidr))[:ALLOWED_MAX]
