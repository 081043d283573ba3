"""`neargate up` as it is typed: its options, and what they mean together. A part of `commands/parser.py`."""

import argparse
import os

from .. import config as configs
from ..config import RegionConfig
from ..paths import RegionPaths
from ..problems import Problem
from ..saying import say

Given = argparse.Namespace


def up_options(up: argparse.ArgumentParser) -> None:
    """Without a default here: what is not given stays as it was the last time."""
    default = RegionConfig()
    zones = ",".join(default.zones)
    up.add_argument("--region", metavar="NAME", help=f"name of the region ({default.region})")
    up.add_argument("--account", metavar="ID", help="account id, 12 digits")
    up.add_argument("--zones", help=f"letters of the availability zones ({zones})")
    up.add_argument("--port", "-p", type=int, help=f"port of the API on 127.0.0.1 ({default.port})")
    up.add_argument("--auth", help="enforce, or open: any key is the administrator (tests)")
    up.add_argument("--containerd", help="own: an instance of ours; system: the machine's; or a socket's path")
    up.add_argument(
        "--quotas",
        help="where none is set: machine (no limit on rates, vCPUs as the hosts have) or aws (AWS's own values)",
    )
    _host_options(up, default)
    up.add_argument(
        "--insecure-registries",
        metavar="HOST[:PORT],...",
        help="image registries that are asked over plain HTTP and may be on this machine (the region's own may always)",
    )
    _registry_options(up)
    up.add_argument(
        "--oidc-hosts",
        metavar="HOST[:PORT],...",
        help="OpenID Connect providers whose keys may be fetched from this machine or a private network",
    )
    up.add_argument(
        "--tls-proxy",
        help="none, or local: a proxy on this machine ends TLS; its X-Forwarded-Proto and -For are believed",
    )
    up.add_argument(
        "--uplink",
        help="how tasks with public addresses reach out: user (through pasta), nat (this host forwards; up says what "
        "that adds), none, or auto: user where passt is installed, else none (docs/networking.md)",
    )
    up.add_argument(
        "--uplink-networks",
        metavar="CIDR,...",
        help="private networks beyond the gateways that tasks may reach too, for example 10.1.0.0/16; '' for none, as "
        "at first",
    )
    up.add_argument(
        "--extensions",
        metavar="NAME,...",
        help="what the region does beyond AWS: files (docs/files.md); '' for none, as at first",
    )
    up.add_argument(
        "--master-key-command",
        metavar="COMMAND",
        help="program (no shell) that prints the keys which seal secrets in the databases, instead of a file of ours",
    )
    up.add_argument(
        "--metrics-listen",
        metavar="ADDRESS:PORT",
        help="serve metrics for Prometheus there, on loopback only (docs/operating.md); '' for nowhere, as at first",
    )
    up.add_argument(
        "--listener-ports",
        metavar="all|none|FIRST-LAST",
        help="ports of this machine's loopback that listeners of internet-facing load balancers may take "
        f"({default.listener_ports}); at the API's port they are by name in any case (docs/operating.md)",
    )
    default_mib = default.audit_mib
    up.add_argument("--audit-days", type=int, metavar="N", help=f"how long calls stay recorded ({default.audit_days})")
    up.add_argument("--audit-mib", type=int, metavar="MIB", help=f"room of the record of calls ({default_mib})")
    _simulated_options(up)
    up.add_argument("--background", "-d", action="store_true", help="return when the region answers")


def _host_options(up: argparse.ArgumentParser, default: RegionConfig) -> None:
    up.add_argument(
        "--tenancy",
        metavar="strict|shared|one-task",
        help="who may be on a host at the same time: tasks of one account where they share a kernel, of all accounts "
        f"(you trust them), or one task (docs/operating.md; {default.tenancy})",
    )
    up.add_argument(
        "--sandbox",
        help="container; microvm: each task in a virtual machine of its own (docs/microvms.md); simulated: hosts that "
        "start nothing",
    )
    up.add_argument(
        "--allow-emulated",
        metavar="no|yes",
        nargs="?",
        const="yes",
        help="machines without KVM, for development: slow, and no security boundary",
    )
    up.add_argument(
        "--user-namespaces",
        metavar="no|auto",
        help="auto: where this machine can, root in a task's containers is nobody on the machine, at the price of user "
        f"ids above 65535 (docs/security.md; {default.user_namespaces})",
    )
    up.add_argument(
        "--warm-memory",
        type=int,
        metavar="MIB",
        help="memory for virtual machines that wait for tasks, which start sooner then; taken from what tasks may have "
        f"({default.warm_memory})",
    )


def _simulated_options(up: argparse.ArgumentParser) -> None:
    up.add_argument("--hosts", type=int, metavar="N", help="simulated hosts per zone")
    up.add_argument("--host-cpu", type=int, metavar="UNITS", help="of a simulated host")
    up.add_argument("--host-memory", type=int, metavar="MIB", help="of a simulated host")


def _registry_options(up: argparse.ArgumentParser) -> None:
    up.add_argument(
        "--registry-domain",
        metavar="NAME[:PORT]",
        help="for other machines: an account's image registry is ACCOUNT.dkr.ecr.REGION.NAME, by TLS (docs/images.md)",
    )
    up.add_argument(
        "--registry-listen",
        metavar="ADDRESS:PORT",
        help="where the registry, and nothing else, listens for them; without it on loopback only",
    )
    text = "instead of a certificate of the region's own authority: "
    up.add_argument("--registry-cert", metavar="FILE", help=f"{text}yours, PEM, with those that lead to its authority")
    up.add_argument("--registry-key", metavar="FILE", help="its key, PEM")
    up.add_argument(
        "--image-storage",
        metavar="FILE",
        help="docker-registry's own storage: section (S3, another disk) for the bytes of images (docs/images.md)",
    )


def run_up(given: Given, paths: RegionPaths) -> int:
    from ..prepare import check_root
    from ..up import up, up_in_background

    names = [name for name in RegionConfig.__struct_fields__ if getattr(given, name, None) is not None]
    options = {name: getattr(given, name) for name in names}
    # Said again in full: one short option that were passed on could mean the background again, without an end.
    passed = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    for name in configs.LISTS:
        if name in options:
            options[name] = tuple(word for word in options[name].split(",") if word)
    for name in configs.FILES:
        if options.get(name):
            options[name] = os.path.abspath(options[name])
    config = configs.wanted(paths, options)
    if config.sandbox != "simulated" and {"hosts", "host_cpu", "host_memory"} & options.keys():
        raise Problem("--hosts, --host-cpu and --host-memory size simulated hosts; add --sandbox simulated")
    check_root(config)
    if given.background:
        return up_in_background(paths, [f"--data={paths.data}", *passed], config, say)
    return up(paths, config, say)
