"""Whether this process may raise limits. Apart from the other facts of the host: `neargate up` asks it on its way."""

_CAP_SYS_RESOURCE = 24


def may_raise_limits() -> bool:
    """CAP_SYS_RESOURCE: without it no child can have more than we have (and no lower OOM score)."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False
