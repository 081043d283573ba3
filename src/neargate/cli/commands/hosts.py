"""Commands of hosts: whose own they are, and what the operator says of them. A part of `commands/parser.py`."""

import argparse

from ..arguments import Parser
from ..paths import RegionPaths
from ..saying import say

Given = argparse.Namespace
_DRAIN = "empty a host before it goes: nothing new comes, load balancers' nodes and services' tasks go to others"
_ROLLOUT = "after a new guest image or VMM was installed: tasks in machines of others retire on hosts that have it"
_GIVE_UP = "of a host that is away: it runs nothing any more, so what had a place there may go on elsewhere as it was"


def hosts_options(hosts: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """`hosts` alone lists. The verbs, for what all commands have."""
    names = "list|keep|share|drain|give-up|resume|rollout"
    verbs = hosts.add_subparsers(metavar=names, help="without one: list", parser_class=Parser)
    listed = verbs.add_parser("list", help="hosts and whose own they are")
    listed.set_defaults(command=hosts_list)
    text = "let nobody else's tasks come to a host; whoever has hosts of his own goes to no others"
    keep = verbs.add_parser("keep", help=text, description=text)
    keep.set_defaults(command=_keep)
    keep.add_argument("--account", default="", metavar="ID", help="for this account (without: the region's first)")
    keep.add_argument("--cluster", default="", metavar="NAME", help="for this one cluster of the account")
    share = verbs.add_parser("share", help="give a host back to all")
    share.set_defaults(command=_share)
    drain = verbs.add_parser("drain", help=_DRAIN, description=_DRAIN)
    drain.set_defaults(command=_drain)
    give_up = verbs.add_parser("give-up", help=_GIVE_UP, description=_GIVE_UP)
    give_up.set_defaults(command=_give_up)
    text = "take back drain or give-up: the host takes tasks again"
    resume = verbs.add_parser("resume", help=text, description=text)
    resume.set_defaults(command=_resume)
    rollout = verbs.add_parser("rollout", help=_ROLLOUT, description=_ROLLOUT)
    rollout.set_defaults(command=_rollout)
    rollout.add_argument("--off", action="store_true", help="call it off: tasks stay in the machines they have")
    for verb in (keep, share, drain, give_up, resume):
        verb.add_argument("host", metavar="HOST", help="host id; the first characters are enough")
    return [listed, keep, share, drain, give_up, resume, rollout]


def hosts_list(_: Given, paths: RegionPaths) -> int:
    from ..hosts import listed

    say(listed(paths))
    return 0


def _keep(given: Given, paths: RegionPaths) -> int:
    from ..hosts import keep

    say(keep(paths, given.host, given.account, given.cluster))
    return 0


def _share(given: Given, paths: RegionPaths) -> int:
    from ..hosts import share

    say(share(paths, given.host))
    return 0


def _drain(given: Given, paths: RegionPaths) -> int:
    from ..hosts import drain

    say(drain(paths, given.host))
    return 0


def _rollout(given: Given, paths: RegionPaths) -> int:
    from ..hosts import call_off, rollout

    say(call_off(paths) if given.off else rollout(paths))
    return 0


def _give_up(given: Given, paths: RegionPaths) -> int:
    from ..hosts import give_up

    say(give_up(paths, given.host))
    return 0


def _resume(given: Given, paths: RegionPaths) -> int:
    from ..hosts import resume

    say(resume(paths, given.host))
    return 0
