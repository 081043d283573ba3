"""What a region was started with. Written at each `up`; every other command reads it."""

import json
import re
import shlex
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from ..model.capacity import Tenancy
from ..model.extensions import EXTENSIONS
from ..model.ids import ACCOUNT_PATTERN, REGION_PATTERN
from ..uplink.beyond import objection
from .listener_ports import parse as parse_listener_ports
from .metrics_options import check as check_metrics
from .paths import RegionPaths
from .problems import Problem
from .registry_options import RegistryOptions
from .registry_options import check as check_registry


class RegionConfig(Struct, frozen=True, kw_only=True):
    """The options of `neargate up`. The account, the region's name and its zones are fixed by the first start."""

    region: str = "us-east-1"
    account: str = "123456789012"
    zones: tuple[str, ...] = ("a", "b", "c")
    port: int = 4566
    auth: str = "enforce"
    containerd: str = "own"
    sandbox: str = "container"
    allow_emulated: str = "no"  # machines without KVM
    user_namespaces: str = "no"  # of tasks in containers
    warm_memory: int = 0  # MiB of this machine, for machines that wait for tasks
    hosts: int = 1
    host_cpu: int = 4096
    host_memory: int = 16384
    public_pool: str = ""  # chosen at first start
    insecure_registries: tuple[str, ...] = ()  # host or host:port
    quotas: str = "machine"
    tenancy: str = "strict"
    oidc_hosts: tuple[str, ...] = ()  # host or host:port
    tls_proxy: str = "none"
    uplink: str = "auto"  # uplink.py
    uplink_networks: tuple[str, ...] = ()  # private ones beyond the gateways that tasks may reach
    registry_domain: str = ""  # these four: registry_options.py
    registry_listen: str = ""
    registry_cert: str = ""
    registry_key: str = ""
    image_storage: str = ""  # a file: image_storage.py
    images_at: str = ""  # what it says, without credentials; empty: the data directory
    extensions: tuple[str, ...] = ()  # of model/extensions.py
    audit_days: int = 90  # AWS's
    audit_mib: int = 2048
    metrics_listen: str = ""  # ADDRESS:PORT on loopback; empty: nowhere
    listener_ports: str = "all"  # listener_ports.py
    master_key_command: str = ""  # prints the master keys; empty: the file of paths.py has them

    @property
    def zone_names(self) -> tuple[tuple[str, str], ...]:
        """(name, id) of each zone: (us-east-1a, use1-az1)."""
        area, *direction, number = self.region.split("-")
        short = area + "".join(word[0] for word in direction) + number
        return tuple((self.region + letter, f"{short}-az{n}") for n, letter in enumerate(self.zones, start=1))

    @property
    def runs_tasks(self) -> bool:
        """For real, in one of the sandboxes."""
        return self.sandbox != "simulated"

    @property
    def may_share_kernels(self) -> bool:
        """Nothing that is a security boundary need be between tasks."""
        return self.sandbox == "container" or (self.sandbox == "microvm" and self.allow_emulated == "yes")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def registry_options(self) -> RegistryOptions:
        return RegistryOptions(
            domain=self.registry_domain, listen=self.registry_listen, cert=self.registry_cert, key=self.registry_key
        )

    @property
    def foreign_containerd(self) -> str | None:
        """Socket of a containerd that is not ours, None for our own."""
        if self.containerd == "own":
            return None
        return "/run/containerd/containerd.sock" if self.containerd == "system" else self.containerd


_DEFAULT = RegionConfig()
REGISTRY_PATTERN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
FILES = ("registry_cert", "registry_key", "image_storage")  # options that name one
LISTS = ("zones", "insecure_registries", "oidc_hosts", "extensions", "uplink_networks")
FIXED = ("region", "account", "zones", "public_pool")
SIMULATED_HOSTS_MAX = 10_000  # each is an object of the agent with a session of its own


def check(config: RegionConfig) -> None:
    """Refuse what cannot work, each with what to write instead."""
    if not REGION_PATTERN.match(config.region):
        raise Problem(f"--region {config.region!r} is not a region's name; write one like us-east-1")
    if not ACCOUNT_PATTERN.match(config.account):
        raise Problem(f"--account {config.account!r} is not an account id; write 12 digits")
    if not config.zones or any(len(z) != 1 or not z.isalpha() or not z.islower() for z in config.zones):
        raise Problem("--zones takes letters with commas between them, for example a,b,c")
    if len(set(config.zones)) != len(config.zones):
        raise Problem("--zones names a zone twice")
    for name, value, allowed in (
        ("auth", config.auth, ("enforce", "open")),
        ("sandbox", config.sandbox, ("container", "microvm", "simulated")),
        ("allow-emulated", config.allow_emulated, ("no", "yes")),
        ("user-namespaces", config.user_namespaces, ("no", "auto")),
        ("quotas", config.quotas, ("aws", "machine")),
        ("tenancy", config.tenancy, tuple(Tenancy)),
        ("tls-proxy", config.tls_proxy, ("none", "local")),
        ("uplink", config.uplink, ("auto", "nat", "user", "none")),
    ):
        if value not in allowed:
            raise Problem(f"--{name} {value!r}: choose {' or '.join(allowed)}")
    for network in config.uplink_networks:
        if text := objection(network):
            raise Problem(f"--uplink-networks {network}: {text}")
    if unknown := [name for name in config.extensions if name not in EXTENSIONS]:
        raise Problem(f"--extensions {unknown[0]!r}: there is {', '.join(EXTENSIONS)}; '' for none")
    if any(not REGISTRY_PATTERN.fullmatch(name) for name in config.oidc_hosts):
        raise Problem("--oidc-hosts takes host or host:port with commas between them, for example gitlab.lan")
    if any(not REGISTRY_PATTERN.fullmatch(name) for name in config.insecure_registries):
        raise Problem("--insecure-registries takes host or host:port with commas between them, for example nas:5000")
    check_registry(config.registry_options, is_open=config.auth == "open", has_proxy=config.tls_proxy == "local")
    if config.containerd not in ("own", "system") and not config.containerd.startswith("/"):
        raise Problem(f"--containerd {config.containerd!r}: choose own or system, or write the path of a socket")
    if config.master_key_command:
        try:
            words = shlex.split(config.master_key_command)
        except ValueError as error:
            raise Problem(f"--master-key-command cannot be read: {error}") from None
        if not words or not words[0].startswith("/"):
            raise Problem("--master-key-command must begin with a program's whole path, for example /usr/bin/vault")
    if config.warm_memory < 0:
        raise Problem("--warm-memory takes MiB, 0 for no machines that wait")
    if not 0 < config.port < 65536:
        raise Problem(f"--port {config.port}: choose 1 to 65535")
    check_metrics(config.metrics_listen, config.port)
    parse_listener_ports(config.listener_ports)
    if not 1 <= config.audit_days <= 36_500 or config.audit_mib < 16:
        raise Problem("--audit-days must be 1 to 36500, --audit-mib at least 16")
    if config.hosts > SIMULATED_HOSTS_MAX:
        raise Problem(f"--hosts {config.hosts}: at most {SIMULATED_HOSTS_MAX} are simulated")
    if config.hosts < 1 or config.host_cpu < 256 or config.host_memory < 512:
        raise Problem("--hosts, --host-cpu (units) and --host-memory (MiB) must be at least 1, 256 and 512")


def load(paths: RegionPaths) -> RegionConfig:
    """The stored options. A region that was never started is a Problem.

    Members that a newer release wrote are passed over, so that the older one can run, ask and stop the region.
    """
    try:
        raw = paths.config.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise Problem(f"no region under {paths.data}; start one with: neargate up{paths.as_option}") from None
    except PermissionError:
        raise Problem(f"{paths.config} cannot be read by this user; run as root") from None
    try:
        known = RegionConfig.__struct_fields__
        stored = {name: value for name, value in _members(raw).items() if name in known}
        lists = {name: tuple(stored[name]) for name in LISTS if name in stored}
        found = RegionConfig(**{**stored, **lists, "zones": tuple(stored["zones"])})
        _check_types(found)
        check(found)
    except (ValueError, KeyError, TypeError, Problem) as error:
        raise Problem(f"{paths.config} is damaged ({error}); restore it from a backup") from None
    return found


def _check_types(config: RegionConfig) -> None:
    """Raises TypeError: what came from a file is of any type."""
    for name in RegionConfig.__struct_fields__:
        value, wanted = getattr(config, name), type(getattr(_DEFAULT, name))
        if type(value) is not wanted or (wanted is tuple and not all(type(item) is str for item in value)):
            raise TypeError(f"{name} is {value!r}")


def wanted(paths: RegionPaths, given: dict[str, object]) -> RegionConfig:
    """What the user gave over what the region had the last time, over the defaults."""
    before = load(paths) if paths.config.exists() else RegionConfig()
    return replace(before, **given)


def settle(paths: RegionPaths, wanted: RegionConfig) -> RegionConfig:
    """Refuse to change what the first start fixed."""
    if not paths.config.exists():
        return wanted
    stored = load(paths)
    changed = [name for name in FIXED if getattr(wanted, name) != getattr(stored, name)]
    if changed:
        raise Problem(
            f"the region under {paths.data} was made with another {', '.join(changed)} "
            f"({', '.join(_written(getattr(stored, name)) for name in changed)}); "
            "take another --data for a second region"
        )
    return wanted


def _written(value: object) -> str:
    """As the option is written."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def save(paths: RegionPaths, config: RegionConfig) -> None:
    """Replace the file whole; a reader sees the old one or the new one. What another release wrote into it stays."""
    kept = _members(paths.config.read_bytes()) if paths.config.exists() else {}
    fresh = paths.config.with_suffix(".new")
    fresh.write_bytes(json.dumps({**kept, **asdict(config)}, indent=2).encode() + b"\n")
    fresh.replace(paths.config)


def _members(raw: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    stored = json.loads(raw)
    if not isinstance(stored, dict):
        raise ValueError("it is no JSON object")
    return stored
