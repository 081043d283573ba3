"""The command line: its commands and options as data, and for each a few lines over the module that does the work.

Each command imports only what it needs: how soon `neargate up` listens is measured.
"""

import argparse
import errno
from collections.abc import Callable, Sequence

from .. import config as configs
from ..arguments import TASK_HELP, Parser, command_apart, data_option
from ..paths import RegionPaths, region_paths
from ..problems import Problem, no_room
from ..saying import note, say
from ..version import VERSION
from . import looking, sharing
from .hosts import hosts_list, hosts_options
from .network import dns_install, dns_options, ip_pool_list, ip_pool_options
from .up import run_up, up_options

Given = argparse.Namespace
AWS_HELP = (
    "The endpoint, the region and the administrator's keys are passed to it, whatever its version. What follows aws "
    "except a leading --data is its own; its help: neargate aws help, neargate aws ecs help. It needs the aws command "
    "of awscli on the PATH or beside neargate."
)


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
    data_option(top)
    commands = top.add_subparsers(metavar="COMMAND")

    def add(name: str, function: Callable[[Given, RegionPaths], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        data_option(made)
        made.set_defaults(command=function)
        return made

    up_options(add("up", run_up, "run a region on this machine"))
    down = add("down", _down, "stop all tasks by the normal path, then every process; the databases stay")
    text = "when the API cannot start: this machine's agent stops its tasks alone"
    down.add_argument("--force", action="store_true", help=text)
    add("env", _env, 'print shell lines for: eval "$(neargate env)"')
    ca = add("ca", _ca, "print the certificate of the region's authority that --registry-listen makes (docs/images.md)")
    ca.add_argument("--certificates", action="store_true", help="of the one that issues certificates of ACM instead")
    aws = add("aws", _aws, "run the aws command against the region: neargate aws ecs list-clusters")
    aws.epilog = AWS_HELP
    aws.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="what follows aws")
    add("status", looking.status, "hosts, their room, running tasks, services and load balancers")
    looking.logs_options(add("logs", looking.logs, "print a task's output, all containers in order of time"))
    run = add("exec", _exec, "run a command on a terminal in a task's container; without one: /bin/sh")
    run.add_argument("--container", "-c", default="", metavar="NAME", help="of a task that has several")
    run.add_argument("task", metavar="TASK", help=f"{TASK_HELP}; started with enableExecuteCommand")
    run.add_argument("words", nargs="*", metavar="COMMAND", help="a command; its status is passed on")
    text = "explain a task, service, load balancer or target group: what happened, why it stopped, what it waits for"
    looking.why_options(add("why", looking.why, text))
    text = "which rule or route lets a packet of a task pass, or stops it; behind a load balancer too"
    looking.trace_options(add("trace-path", looking.trace_path, text))
    sharing.account_options(
        add("account", sharing.account_list, "accounts of the region: make one, list them, make keys")
    )
    sharing.quota_options(add("quota", sharing.quota_list, "limits of accounts: list them, set one, or reset it"))
    hosts = add("hosts", hosts_list, "hosts: list them, keep one for an account or a cluster, empty one, give one up")
    pool = add("ip-pool", ip_pool_list, "public addresses: list the pools they come from, add one, remove one")
    dns = add("dns", dns_install, "this machine's own lookups: find the region's names, or leave them alone again")
    for verb in (*hosts_options(hosts), *ip_pool_options(pool), *dns_options(dns)):
        data_option(verb)
    sharing.spot_options(add("spot", sharing.spot_show, "Spot: how much room is spare, mark how much, interrupt tasks"))
    _image_options(
        add("image", _image_load, "images of the region's registry: load an archive, collect what no image names")
    )
    text = "print the record of calls: JSON lines in CloudTrail's format, oldest first"
    looking.audit_options(add("audit", looking.audit, text))
    add("metrics", looking.metrics, "print the region's metrics in Prometheus's text format")
    add("doctor", looking.doctor, "check this machine: one line for each thing, with the command that helps")
    add("sample", _sample, "build, push and run the sample task, and show that it works")
    # These two are started by entry.py, which comes here for them only when their name is not the first word.
    for half, text in (("server", "run the control plane alone"), ("agent", "run this machine's agent alone")):
        add(half, _half, f"{text} (up does this for you)").set_defaults(half=half)
    return top


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
        data_option(verb)


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


def _usage(top: argparse.ArgumentParser) -> int:
    top.print_help()
    return 2


def _half(given: Given, paths: RegionPaths) -> int:
    raise Problem(f"write it as: neargate {given.half}{paths.as_option}")


def _down(given: Given, paths: RegionPaths) -> int:
    from ..down import down

    down(paths, say, by_force=given.force)
    return 0


def _env(_: Given, paths: RegionPaths) -> int:
    from ..environment import exports, warning
    from ..up import healthy

    say(exports(paths))
    doubt = warning()
    if doubt:
        note(doubt)
    config = configs.load(paths)
    if not healthy(config.port):
        note(f"nothing answers at {config.endpoint} now; start the region with: neargate up{paths.as_option}")
    return 0


def _ca(given: Given, paths: RegionPaths) -> int:
    if given.certificates:
        from ..desks.certificates import issuing_certificate

        say(issuing_certificate(paths).rstrip())
        return 0
    from ..registry_tls import authority_certificate

    if configs.load(paths).registry_cert:
        note("the registry shows the certificate of --registry-cert, which another authority made")
    say(authority_certificate(paths).rstrip())
    return 0


def _aws(given: Given, paths: RegionPaths) -> int:
    from ..environment import run_aws

    status = run_aws(paths, given.words[1:] if given.words[:1] == ["--"] else given.words)
    if status:
        from ..up import healthy

        if not healthy(configs.load(paths).port):
            raise Problem(f"the API does not run or does not answer; start it with: neargate up{paths.as_option}")
    return status


def _exec(given: Given, paths: RegionPaths) -> int:
    from ..exec import execute

    return execute(paths, given.task, given.container, given.words)


def _image_load(given: Given, paths: RegionPaths) -> int:
    from ..images.load import load

    load(paths, given.file, given.repository, say)
    return 0


def _image_collect(_: Given, paths: RegionPaths) -> int:
    from ..images.collect import collect

    configs.load(paths)
    collect(paths, say)
    return 0


def _sample(_: Given, paths: RegionPaths) -> int:
    from ..sample import run as sample

    sample(paths, say)
    return 0
