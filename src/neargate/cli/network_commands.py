"""Commands of the machine's network: their options, and what each calls. A part of `commands.py`."""

import argparse

from .arguments import Parser
from .paths import RegionPaths

Given = argparse.Namespace


def ip_pool_options(pool: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """`ip-pool` alone lists. The verbs, for what all commands have."""
    verbs = pool.add_subparsers(metavar="list|add|remove", help="without one: list", parser_class=Parser)
    listed = verbs.add_parser("list", help="pools, how many of their addresses are given out, who finds them")
    listed.set_defaults(command=ip_pool_list)
    text = "give the region public addresses: from now on tasks' and elastic ones come from there"
    add = verbs.add_parser("add", help=text, description=text)
    add.set_defaults(command=_ip_pool_add)
    add.add_argument("cidr", metavar="CIDR", help="for example 203.0.113.16/28")
    ways = add.add_mutually_exclusive_group()
    text = "the neighbours on this machine's uplink find them: it answers for those in use (with --uplink nat)"
    ways.add_argument("--announce", action="store_true", help=text)
    text = "a router beyond leads them to this machine (with --uplink nat)"
    ways.add_argument("--routed", action="store_true", help=text)
    text = "take a pool back; refused while somebody has an address of it"
    remove = verbs.add_parser("remove", help=text, description=text)
    remove.set_defaults(command=_ip_pool_remove)
    remove.add_argument("cidr", metavar="CIDR", help="as ip-pool list shows it")
    remove.add_argument("--drain", action="store_true", help="while somebody has: give out no more of it")
    return [listed, add, remove]


def ip_pool_list(_: Given, paths: RegionPaths) -> int:
    from .ip_pool import listed

    return _say(listed(paths))


def _ip_pool_add(given: Given, paths: RegionPaths) -> int:
    from .ip_pool import add

    return _say(add(paths, given.cidr, announce=given.announce, routed=given.routed))


def _ip_pool_remove(given: Given, paths: RegionPaths) -> int:
    from .ip_pool import remove

    return _say(remove(paths, given.cidr, drain=given.drain))


def _say(text: str) -> int:
    print(text, flush=True)
    return 0
