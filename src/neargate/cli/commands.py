"""The command line: its commands and options as data, and for each a few lines over the module that does the work.

Each command imports only what it needs: how soon `neargate up` listens is measured.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from . import config as configs
from . import listener_ports
from .arguments import Parser, command_apart
from .config import RegionConfig
from .network_commands import dns_install, dns_options, ip_pool_list, ip_pool_options
from .paths import DEFAULT_DATA, RegionPaths, region_paths
from .problems import NoServer, Problem, no_room
from .version import VERSION

Given = argparse.Namespace
LINES_MAX = 10_000  # what the operator's socket answers at once
AWS_HELP = (
    "The endpoint, the region and the administrator's keys are passed to it, whatever its version. What follows aws "
    "except a leading --data is its own; its help: neargate aws help, neargate aws ecs help. It needs the aws command "
    "of awscli on the PATH or beside neargate."
)
TASK_HELP = "task id or ARN; the first digits are enough"


def run(arguments: Sequence[str]) -> int:
    """Parse and run; the exit status. Raises Problem; wrong usage exits with 2."""
    given = parsed(arguments)
    command: Callable[[Given, RegionPaths], int] = given.command
    paths = region_paths(given.data)
    try:
        return command(given, paths)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Problem(no_room(paths.data)) from error
        if error.errno == errno.EROFS:
            what = error.filename or paths.data
            raise Problem(
                f"{what} is on a filesystem that is read-only; mount it for writing, or choose another --data"
            ) from error
        raise


def parsed(arguments: Sequence[str]) -> Given:
    """Wrong usage exits with 2."""
    words = _aws_last(arguments)
    if words[:1] != ["exec"]:
        return parser().parse_args(words)
    ours, theirs = command_apart(words[1:], frozenset({"--data", "--container", "-c"}))
    given = parser().parse_args(["exec", *ours])
    given.words = theirs  # as they were written
    return given


def parser() -> argparse.ArgumentParser:
    """All commands. `--help` of each lists its options."""
    top = Parser(prog="neargate", description="Neargate: AWS Fargate that you run yourself.")
    top.add_argument("--version", action="version", version=f"neargate {VERSION}")
    top.set_defaults(command=lambda _given, _paths: _usage(top), data=None)
    _data_option(top)
    commands = top.add_subparsers(metavar="COMMAND")

    def add(name: str, function: Callable[[Given, RegionPaths], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        _data_option(made)
        made.set_defaults(command=function)
        return made

    _up_options(add("up", _up, "run a region on this machine"))
    down = add("down", _down, "stop all tasks by the normal path, then every process; the databases stay")
    text = "when the API cannot start: this machine's agent stops its tasks alone"
    down.add_argument("--force", action="store_true", help=text)
    add("env", _env, 'print shell lines for: eval "$(neargate env)"')
    ca = add("ca", _ca, "print the certificate of the region's authority that --registry-listen makes (docs/images.md)")
    ca.add_argument("--certificates", action="store_true", help="of the one that issues certificates of ACM instead")
    aws = add("aws", _aws, "run the aws command against the region: neargate aws ecs list-clusters")
    aws.epilog = AWS_HELP
    aws.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="what follows aws")
    add("status", _status, "hosts, their room, and running tasks")
    _logs_options(add("logs", _logs, "print a task's output, all containers in order of time"))
    run = add("exec", _exec, "run a command on a terminal in a task's container; without one: /bin/sh")
    run.add_argument("--container", "-c", default="", metavar="NAME", help="of a task that has several")
    run.add_argument("task", metavar="TASK", help=f"{TASK_HELP}; started with enableExecuteCommand")
    run.add_argument("words", nargs="*", metavar="COMMAND", help="a command; its status is passed on")
    why = add("why", _why, "explain a task, or a service by its name: what happened, why it stopped, what it waits for")
    why.add_argument("task", metavar="TASK|SERVICE", help=f"{TASK_HELP}; or a service, as NAME or CLUSTER/NAME")
    trace = add("trace-path", _trace_path, "which rule or route lets a packet of a task pass, or stops it")
    trace.add_argument("--from", dest="task", required=True, metavar="TASK", help=TASK_HELP)
    trace.add_argument("--to", required=True, metavar="ADDRESS:PORT", help="where the packet is for")
    trace.add_argument("--protocol", choices=("tcp", "udp", "icmp"), default="tcp", help="without it: tcp")
    _account_options(add("account", _account_list, "accounts of the region: make one, list them, make keys"))
    _quota_options(add("quota", _quota_list, "limits of accounts: list them, set one, or reset it"))
    _hosts_options(add("hosts", _hosts_list, "hosts: list them, keep one for an account or a cluster, share it again"))
    pool = add("ip-pool", ip_pool_list, "public addresses: list the pools they come from, add one, remove one")
    dns = add("dns", dns_install, "this machine's own lookups: find the region's names, or leave them alone again")
    for verb in (*ip_pool_options(pool), *dns_options(dns)):
        _data_option(verb)
    _spot_options(add("spot", _spot_show, "Spot: how much room is spare, mark how much, interrupt tasks"))
    _image_options(
        add("image", _image_load, "images of the region's registry: load an archive, collect what no image names")
    )
    audit = add("audit", _audit, "print the record of calls: JSON lines in CloudTrail's format, oldest first")
    audit.add_argument("--since", default="", metavar="WHEN", help="24h, 7d, or a time like 2026-11-22T10:00:00Z")
    audit.add_argument("--until", default="", metavar="WHEN", help="the same; without it: now")
    audit.add_argument("--account", default="", metavar="ID", help="of this account alone")
    add("metrics", _metrics, "print the region's metrics in Prometheus's text format")
    add("doctor", _doctor, "check this machine: one line for each thing, with the command that helps")
    add("sample", _sample, "build, push and run the sample task, and show that it works")
    # These two are started by entry.py, which comes here for them only when their name is not the first word.
    for half, text in (("server", "run the control plane alone"), ("agent", "run this machine's agent alone")):
        add(half, _half, f"{text} (up does this for you)").set_defaults(half=half)
    return top


def _data_option(made: argparse.ArgumentParser) -> None:
    """Before the command or after it. The latter has no default, which would overwrite the former."""
    text = f"data directory of the region (default {DEFAULT_DATA}, or NEARGATE_DATA)"
    made.add_argument("--data", metavar="DIR", help=text, default=argparse.SUPPRESS)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= LINES_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {LINES_MAX}")
    return int(text)


def _up_options(up: argparse.ArgumentParser) -> None:
    """Without a default here: what is not given stays as it was the last time."""
    default = RegionConfig()
    zones = ",".join(default.zones)
    up.add_argument("--region", metavar="NAME", help=f"name of the region ({default.region})")
    up.add_argument("--account", metavar="ID", help="account id, 12 digits")
    up.add_argument("--zones", help=f"letters of the availability zones ({zones})")
    up.add_argument(
        *("--port", "-p"),
        type=int,
        help=f"port of the API on 127.0.0.1 ({default.port})",
    )
    up.add_argument("--auth", help="enforce, or open: any key is the administrator (tests)")
    up.add_argument("--containerd", help="own: an instance of ours; system: the machine's; or a socket's path")
    up.add_argument(
        "--quotas",
        help="where none is set: machine (no limit on rates, vCPUs as the hosts have) or aws (AWS's own values)",
    )
    up.add_argument("--sandbox", help="container, or simulated: hosts that start nothing")
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
    listener_ports.option(up, default.listener_ports)
    default_mib = default.audit_mib
    up.add_argument("--audit-days", type=int, metavar="N", help=f"how long calls stay recorded ({default.audit_days})")
    up.add_argument("--audit-mib", type=int, metavar="MIB", help=f"room of the record of calls ({default_mib})")
    up.add_argument("--hosts", type=int, metavar="N", help="simulated hosts per zone")
    up.add_argument("--host-cpu", type=int, metavar="UNITS", help="of a simulated host")
    up.add_argument("--host-memory", type=int, metavar="MIB", help="of a simulated host")
    up.add_argument("--background", "-d", action="store_true", help="return when the region answers")


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


def _logs_options(logs: argparse.ArgumentParser) -> None:
    logs.add_argument("task", metavar="TASK", help=TASK_HELP)
    logs.add_argument("--follow", "-f", action="store_true", help="go on with new lines until the task stops")
    text = f"how many of the last lines: 1 to {LINES_MAX} (100)"
    logs.add_argument("--lines", "-n", type=_count, default=100, metavar="N", help=text)
    text = "as written also to a terminal; without: control characters are shown as \\x1b, colours stay"
    logs.add_argument("--raw", action="store_true", help=text)


def _account_options(account: argparse.ArgumentParser) -> None:
    """`account` alone lists."""
    verbs = account.add_subparsers(metavar="create|list|keys", help="what to do (list)", parser_class=Parser)
    create = verbs.add_parser("create", help="make an account and print its administrator's keys for: eval")
    create.set_defaults(command=_account_create)
    create.add_argument("name", metavar="NAME", help="for people; the account itself is a number")
    create.add_argument("--id", default="", help="12 digits; without it a number is chosen")
    listed = verbs.add_parser("list", help="accounts and the keys of their administrators")
    listed.set_defaults(command=_account_list)
    keys = verbs.add_parser("keys", help="make a new key for an account's administrator and print it for: eval")
    keys.set_defaults(command=_account_keys)
    keys.add_argument("id", metavar="ACCOUNT", help="12 digits")
    keys.add_argument("--replace", action="store_true", help="end the keys that were made before")
    for verb in (create, listed, keys):
        _data_option(verb)


def _quota_options(quota: argparse.ArgumentParser) -> None:
    """`quota` alone lists."""
    quota.set_defaults(account="")
    verbs = quota.add_subparsers(metavar="list|set|reset", help="without one: list", parser_class=Parser)
    listed = verbs.add_parser("list", help="all limits: what holds, AWS's value, what accounts ask for")
    listed.set_defaults(command=_quota_list)
    change = verbs.add_parser("set", help="a number; for rates BURST/PER_SECOND, or none")
    change.set_defaults(command=_quota_set)
    reset = verbs.add_parser("reset", help="back to what --quotas says")
    reset.set_defaults(command=_quota_reset)
    for verb in (change, reset):
        verb.add_argument("limit", metavar="LIMIT", help="as quota list names it, for example ecs/task-modify")
    change.add_argument("value", metavar="VALUE")
    for verb in (listed, change, reset):
        _data_option(verb)
        verb.add_argument("--account", metavar="ID", default="", help="of this account alone (without: of all)")


def _hosts_options(hosts: argparse.ArgumentParser) -> None:
    """`hosts` alone lists."""
    verbs = hosts.add_subparsers(metavar="list|keep|share", help="without one: list", parser_class=Parser)
    listed = verbs.add_parser("list", help="hosts and whose own they are")
    listed.set_defaults(command=_hosts_list)
    text = "let nobody else's tasks come to a host; whoever has hosts of his own goes to no others"
    keep = verbs.add_parser("keep", help=text, description=text)
    keep.set_defaults(command=_hosts_keep)
    keep.add_argument("--account", default="", metavar="ID", help="for this account (without: the region's first)")
    keep.add_argument("--cluster", default="", metavar="NAME", help="for this one cluster of the account")
    share = verbs.add_parser("share", help="give a host back to all")
    share.set_defaults(command=_hosts_share)
    for verb in (keep, share):
        verb.add_argument("host", metavar="HOST", help="host id; the first characters are enough")
    for verb in (listed, keep, share):
        _data_option(verb)


def _spot_options(spot: argparse.ArgumentParser) -> None:
    """`spot` alone shows."""
    verbs = spot.add_subparsers(metavar="show|share|reclaim", help="without one: show", parser_class=Parser)
    show = verbs.add_parser("show", help="how much is spare, and what Spot tasks hold of it")
    show.set_defaults(command=_spot_show)
    text = "mark how much of the hosts' room Spot tasks may hold; what runs stays"
    share = verbs.add_parser("share", help=text, description=text)
    share.set_defaults(command=_spot_share)
    share.add_argument("percent", metavar="PERCENT", help="0 to 100; 100 where none was set: all that others leave")
    text = "interrupt Spot tasks as AWS does: their notice and SIGTERM now, SIGKILL after their stopTimeout"
    reclaim = verbs.add_parser("reclaim", help=text, description=text)
    reclaim.set_defaults(command=_spot_reclaim)
    reclaim.add_argument("--task", default="", metavar="ID", help=TASK_HELP)
    reclaim.add_argument("--count", type=int, metavar="N", help="the newest N")
    for verb in (show, share, reclaim):
        _data_option(verb)


def _image_options(image: argparse.ArgumentParser) -> None:
    verbs = image.add_subparsers(metavar="load|collect", required=True, help="what to do", parser_class=Parser)
    text = "the images of an archive (docker save, podman save, an OCI layout in a tar) to the region's registry"
    load = verbs.add_parser("load", help=text, description=text)
    load.set_defaults(command=_image_load)
    load.add_argument("file", metavar="FILE", help="a tar archive, not compressed")
    load.add_argument("--repository", default="", metavar="NAME[:TAG]", help="instead of what the archive says")
    text = "give back the room of layers that no image names any more, while the region is down"
    collect = verbs.add_parser("collect", help=text, description=text)
    collect.set_defaults(command=_image_collect)
    for verb in (load, collect):
        _data_option(verb)


def _aws_last(arguments: Sequence[str]) -> list[str]:
    """What follows `aws` belongs to the aws command, options too; ours are a leading `--data` and a lone `--help`."""
    words = list(arguments)
    if words[:1] != ["aws"] or words[1:] in (["--help"], ["-h"]):
        return words
    at = 1
    if words[1:2] == ["--data"]:
        at = 3
    elif words[1:2] and words[1].startswith("--data="):
        at = 2
    return [*words[:at], "--", *words[at:]]


def _say(line: str) -> None:
    print(line, flush=True)


def _note(line: str) -> None:
    """For the person at the terminal, not for what reads the command's output."""
    print(f"neargate: {line}", file=sys.stderr, flush=True)


def _usage(top: argparse.ArgumentParser) -> int:
    top.print_help()
    return 2


def _up(given: Given, paths: RegionPaths) -> int:
    from .prepare import check_root
    from .up import up, up_in_background

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
        return up_in_background(paths, [f"--data={paths.data}", *passed], config, _say)
    return up(paths, config, _say)


def _half(given: Given, paths: RegionPaths) -> int:
    raise Problem(f"write it as: neargate {given.half}{paths.as_option}")


def _down(given: Given, paths: RegionPaths) -> int:
    from .down import down

    down(paths, _say, by_force=given.force)
    return 0


def _env(_: Given, paths: RegionPaths) -> int:
    from .environment import exports, warning
    from .up import healthy

    _say(exports(paths))
    doubt = warning()
    if doubt:
        _note(doubt)
    config = configs.load(paths)
    if not healthy(config.port):
        _note(f"nothing answers at {config.endpoint} now; start the region with: neargate up{paths.as_option}")
    return 0


def _ca(given: Given, paths: RegionPaths) -> int:
    if given.certificates:
        from .certificates_desk import issuing_certificate

        _say(issuing_certificate(paths).rstrip())
        return 0
    from .registry_tls import authority_certificate

    if configs.load(paths).registry_cert:
        _note("the registry shows the certificate of --registry-cert, which another authority made")
    _say(authority_certificate(paths).rstrip())
    return 0


def _aws(given: Given, paths: RegionPaths) -> int:
    from .environment import run_aws

    status = run_aws(paths, given.words[1:] if given.words[:1] == ["--"] else given.words)
    if status:
        from .up import healthy

        if not healthy(configs.load(paths).port):
            raise Problem(f"the API does not run or does not answer; start it with: neargate up{paths.as_option}")
    return status


def _exec(given: Given, paths: RegionPaths) -> int:
    from .exec import execute

    return execute(paths, given.task, given.container, given.words)


def _status(_: Given, paths: RegionPaths) -> int:
    from .inspect import status
    from .terminal import for_reader

    with _told_without_a_server(paths):
        _say(for_reader(status(paths)))
    return 0


def _logs(given: Given, paths: RegionPaths) -> int:
    from .inspect import logs
    from .terminal import for_reader

    def say(line: str) -> None:
        _say(for_reader(line, raw=given.raw))

    with _told_without_a_server(paths, given.task):
        logs(paths, given.task, lines=given.lines, follow=given.follow, say=say, note=_note)
    return 0


def _why(given: Given, paths: RegionPaths) -> int:
    from .inspect import why
    from .terminal import for_reader

    with _told_without_a_server(paths, given.task):
        _say(for_reader(why(paths, given.task)))
    return 0


@contextmanager
def _told_without_a_server(paths: RegionPaths, task: str = "") -> Iterator[None]:
    """Tasks outlive the server, and whoever looks for them is told what is known without it."""
    try:
        yield
    except NoServer as problem:
        from .offline import account

        raise Problem(f"{problem}\n{account(paths, task)}") from None


def _account_create(given: Given, paths: RegionPaths) -> int:
    from .account import create

    _say(create(paths, given.name, given.id))
    return 0


def _account_list(_: Given, paths: RegionPaths) -> int:
    from .account import listed

    _say(listed(paths))
    return 0


def _account_keys(given: Given, paths: RegionPaths) -> int:
    from .account import keys

    _say(keys(paths, given.id, replace=given.replace))
    return 0


def _quota_list(given: Given, paths: RegionPaths) -> int:
    from .quota import listed

    _say(listed(paths, given.account))
    return 0


def _quota_set(given: Given, paths: RegionPaths) -> int:
    from .quota import change

    _say(change(paths, given.limit, given.value, given.account))
    return 0


def _quota_reset(given: Given, paths: RegionPaths) -> int:
    from .quota import reset

    _say(reset(paths, given.limit, given.account))
    return 0


def _hosts_list(_: Given, paths: RegionPaths) -> int:
    from .hosts import listed

    _say(listed(paths))
    return 0


def _hosts_keep(given: Given, paths: RegionPaths) -> int:
    from .hosts import keep

    _say(keep(paths, given.host, given.account, given.cluster))
    return 0


def _hosts_share(given: Given, paths: RegionPaths) -> int:
    from .hosts import share

    _say(share(paths, given.host))
    return 0


def _trace_path(given: Given, paths: RegionPaths) -> int:
    from .trace_path import run

    _say(run(paths, given.task, given.to, given.protocol))
    return 0


def _spot_show(_: Given, paths: RegionPaths) -> int:
    from .spot import show

    _say(show(paths))
    return 0


def _spot_share(given: Given, paths: RegionPaths) -> int:
    from .spot import share

    _say(share(paths, given.percent))
    return 0


def _spot_reclaim(given: Given, paths: RegionPaths) -> int:
    from .spot import reclaim

    _say(reclaim(paths, given.task, given.count))
    return 0


def _image_load(given: Given, paths: RegionPaths) -> int:
    from .image_load import load

    load(paths, given.file, given.repository, _say)
    return 0


def _image_collect(_: Given, paths: RegionPaths) -> int:
    from .image_collect import collect

    configs.load(paths)
    collect(paths, _say)
    return 0


def _audit(given: Given, paths: RegionPaths) -> int:
    from .audit import export

    export(paths, since=given.since, until=given.until, account=given.account, say=_say)
    return 0


def _metrics(_: Given, paths: RegionPaths) -> int:
    from .metrics import told

    _say(told(paths).rstrip())
    return 0


def _doctor(_: Given, paths: RegionPaths) -> int:
    from .doctor import report

    lines, fine = report(paths)
    _say("\n".join(lines))
    return 0 if fine else 1


def _sample(_: Given, paths: RegionPaths) -> int:
    from .sample import run as sample

    sample(paths, _say)
    return 0
