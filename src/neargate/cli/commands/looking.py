"""Commands that look at a region and change nothing: their options, and what each calls. A part of `parser.py`."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from ..arguments import TASK_HELP
from ..paths import RegionPaths
from ..problems import NoServer, Problem
from ..saying import note, say

Given = argparse.Namespace
LINES_MAX = 10_000  # what the operator's socket answers at once


def logs_options(logs: argparse.ArgumentParser) -> None:
    logs.add_argument("task", metavar="TASK", help=TASK_HELP)
    logs.add_argument("--follow", "-f", action="store_true", help="go on with new lines until the task stops")
    text = f"how many of the last lines: 1 to {LINES_MAX} (100)"
    logs.add_argument("--lines", "-n", type=_count, default=100, metavar="N", help=text)
    text = "as written also to a terminal; without: control characters are shown as \\x1b, colours stay"
    logs.add_argument("--raw", action="store_true", help=text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= LINES_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {LINES_MAX}")
    return int(text)


def why_options(why: argparse.ArgumentParser) -> None:
    text = f"{TASK_HELP}; a service, as NAME or CLUSTER/NAME; a load balancer or target group, as NAME, ARN or DNS name"
    why.add_argument("task", metavar="TASK|SERVICE|LOAD-BALANCER|TARGET-GROUP", help=text)


def trace_options(trace: argparse.ArgumentParser) -> None:
    trace.add_argument("--from", dest="task", required=True, metavar="TASK", help=TASK_HELP)
    text = "where the packet is for; a load balancer, as NAME, ARN or DNS name, without :PORT where it has one listener"
    trace.add_argument("--to", required=True, metavar="ADDRESS:PORT|LOAD-BALANCER[:PORT]", help=text)
    trace.add_argument("--protocol", choices=("tcp", "udp", "icmp"), default="tcp", help="without it: tcp")


def audit_options(audit: argparse.ArgumentParser) -> None:
    audit.add_argument("--since", default="", metavar="WHEN", help="24h, 7d, or a time like 2026-11-22T10:00:00Z")
    audit.add_argument("--until", default="", metavar="WHEN", help="the same; without it: now")
    audit.add_argument("--account", default="", metavar="ID", help="of this account alone")


def status(_: Given, paths: RegionPaths) -> int:
    from ..inspect import status
    from ..terminal import for_reader

    with _told_without_a_server(paths):
        say(for_reader(status(paths)))
    return 0


def logs(given: Given, paths: RegionPaths) -> int:
    from ..inspect import logs
    from ..terminal import for_reader

    def say_line(line: str) -> None:
        say(for_reader(line, raw=given.raw))

    with _told_without_a_server(paths, given.task):
        logs(paths, given.task, lines=given.lines, follow=given.follow, say=say_line, note=note)
    return 0


def why(given: Given, paths: RegionPaths) -> int:
    from ..terminal import for_reader
    from ..why import why

    with _told_without_a_server(paths, given.task):
        say(for_reader(why(paths, given.task)))
    return 0


@contextmanager
def _told_without_a_server(paths: RegionPaths, task: str = "") -> Iterator[None]:
    """Tasks outlive the server, and whoever looks for them is told what is known without it."""
    try:
        yield
    except NoServer as problem:
        from ..offline import account

        raise Problem(f"{problem}\n{account(paths, task)}") from None


def trace_path(given: Given, paths: RegionPaths) -> int:
    from ..terminal import for_reader
    from ..trace_path import run

    traced = run(paths, given.task, given.to, given.protocol)
    say(for_reader(traced.text))
    return 0 if traced.is_open else 1


def audit(given: Given, paths: RegionPaths) -> int:
    from ..audit import export

    export(paths, since=given.since, until=given.until, account=given.account, say=say)
    return 0


def metrics(_: Given, paths: RegionPaths) -> int:
    from ..metrics.shown import told

    say(told(paths).rstrip())
    return 0


def doctor(_: Given, paths: RegionPaths) -> int:
    from ..doctor import report
    from ..terminal import for_reader

    lines, fine = report(paths)
    say(for_reader("\n".join(lines)))
    return 0 if fine else 1
