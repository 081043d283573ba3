"""Commands of the machine's network: their options, and what each calls. A part of `commands/parser.py`."""

import argparse

from ..arguments import Parser
from ..paths import RegionPaths

Given = argparse.Namespace


def ip_pool_options(pool: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """`ip-pool` alone lists. The verbs, for what all commands have."""
    verbs = pool.add_subparsers(metavar="list|add|remove|allow|forbid", help="without one: list", parser_class=Parser)
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
    text = "let the region have a pool on this machine; ip-pool add does it where it is typed"
    allow = verbs.add_parser("allow", help=text, description=text)
    allow.set_defaults(command=_ip_pool_allow)
    allow.add_argument("cidr", metavar="CIDR", help="the pool, or a network that it is a part of")
    ways = allow.add_mutually_exclusive_group()
    ways.add_argument("--announce", action="store_true", help="and answer the neighbours for its addresses")
    ways.add_argument("--routed", action="store_true", help="and forward what comes for it")
    text = "no longer let the region have it: nothing of it is led to tasks of this machine"
    forbid = verbs.add_parser("forbid", help=text, description=text)
    forbid.set_defaults(command=_ip_pool_forbid)
    forbid.add_argument("cidr", metavar="CIDR", help="as doctor shows it")
    return [listed, add, remove, allow, forbid]


def dns_options(dns: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The verbs, for what all commands have."""
    verbs = dns.add_subparsers(metavar="install|uninstall", required=True, help="what to do", parser_class=Parser)
    text = "make this machine find the region's names: of tasks with public addresses, private namespaces, the API"
    install = verbs.add_parser("install", help=text, description=text)
    install.set_defaults(command=dns_install)
    install.add_argument("--vpc", default="", metavar="ID", help="whose names (without: the default VPC's)")
    text = "leave this machine's lookups alone again"
    uninstall = verbs.add_parser("uninstall", help=text, description=text)
    uninstall.set_defaults(command=_dns_uninstall)
    return [install, uninstall]


def ip_pool_list(_: Given, paths: RegionPaths) -> int:
    from ..ip_pool import listed

    return _say(listed(paths))


def _ip_pool_add(given: Given, paths: RegionPaths) -> int:
    from ..ip_pool import add

    return _say(add(paths, given.cidr, announce=given.announce, routed=given.routed))


def _ip_pool_remove(given: Given, paths: RegionPaths) -> int:
    from ..ip_pool import remove

    return _say(remove(paths, given.cidr, drain=given.drain))


def _ip_pool_allow(given: Given, paths: RegionPaths) -> int:
    from ..ip_pool import allow

    return _say(allow(paths, given.cidr, announce=given.announce, routed=given.routed))


def _ip_pool_forbid(given: Given, paths: RegionPaths) -> int:
    from ..ip_pool import forbid

    return _say(forbid(paths, given.cidr))


def dns_install(given: Given, paths: RegionPaths) -> int:
    from ..host_dns import install

    return _say(install(paths, given.vpc))


def _dns_uninstall(_: Given, paths: RegionPaths) -> int:
    from ..host_dns import uninstall

    return _say(uninstall(paths))


def _say(text: str) -> int:
    print(text, flush=True)
    return 0
