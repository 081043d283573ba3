"""Commands of who has what of a region: their options, and what each calls. A part of `commands/parser.py`."""

import argparse

from ..arguments import TASK_HELP, Parser, data_option
from ..paths import RegionPaths
from ..saying import note, say

Given = argparse.Namespace


def account_options(account: argparse.ArgumentParser) -> None:
    """`account` alone lists."""
    verbs = account.add_subparsers(metavar="create|list|keys|kernel", help="what to do (list)", parser_class=Parser)
    create = verbs.add_parser("create", help="make an account and print its administrator's keys for: eval")
    create.set_defaults(command=_account_create)
    create.add_argument("name", metavar="NAME", help="for people; the account itself is a number")
    create.add_argument("--id", default="", help="12 digits; without it a number is chosen")
    listed = verbs.add_parser("list", help="accounts and the keys of their administrators")
    listed.set_defaults(command=account_list)
    keys = verbs.add_parser("keys", help="make a new key for an account's administrator and print it for: eval")
    keys.set_defaults(command=_account_keys)
    keys.add_argument("id", metavar="ACCOUNT", help="12 digits")
    keys.add_argument("--replace", action="store_true", help="end the keys that were made before")
    text = "whether its tasks may have privileges, devices and kernel parameters, each in a kernel of its own"
    kernel = verbs.add_parser("kernel", help=text, description=text)
    kernel.set_defaults(command=_account_kernel)
    kernel.add_argument("id", metavar="ACCOUNT", help="12 digits")
    kernel.add_argument("allow", choices=("yes", "no"), help="no holds for an account of which nothing was said")
    for verb in (create, listed, keys, kernel):
        data_option(verb)


def quota_options(quota: argparse.ArgumentParser) -> None:
    """`quota` alone lists."""
    quota.set_defaults(account="")
    verbs = quota.add_subparsers(metavar="list|set|reset", help="without one: list", parser_class=Parser)
    listed = verbs.add_parser("list", help="all limits: what holds, AWS's value, what accounts ask for")
    listed.set_defaults(command=quota_list)
    change = verbs.add_parser("set", help="a number; for rates BURST/PER_SECOND, or none")
    change.set_defaults(command=_quota_set)
    reset = verbs.add_parser("reset", help="back to what --quotas says")
    reset.set_defaults(command=_quota_reset)
    for verb in (change, reset):
        verb.add_argument("limit", metavar="LIMIT", help="as quota list names it, for example ecs/task-modify")
    change.add_argument("value", metavar="VALUE")
    for verb in (listed, change, reset):
        data_option(verb)
        verb.add_argument("--account", metavar="ID", default="", help="of this account alone (without: of all)")


def spot_options(spot: argparse.ArgumentParser) -> None:
    """`spot` alone shows."""
    verbs = spot.add_subparsers(metavar="show|share|reclaim", help="without one: show", parser_class=Parser)
    show = verbs.add_parser("show", help="how much is spare, and what Spot tasks hold of it")
    show.set_defaults(command=spot_show)
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
        data_option(verb)


def _account_create(given: Given, paths: RegionPaths) -> int:
    from ..account import create, sharing_of

    say(create(paths, given.name, given.id))
    if text := sharing_of(paths):
        note(text)
    return 0


def account_list(_: Given, paths: RegionPaths) -> int:
    from ..account import listed

    say(listed(paths))
    return 0


def _account_keys(given: Given, paths: RegionPaths) -> int:
    from ..account import keys

    say(keys(paths, given.id, replace=given.replace))
    return 0


def _account_kernel(given: Given, paths: RegionPaths) -> int:
    from ..account import kernel, kernels_of

    allow = given.allow == "yes"
    say(kernel(paths, given.id, allow=allow))
    if allow and (text := kernels_of(paths)):
        note(text)
    return 0


def quota_list(given: Given, paths: RegionPaths) -> int:
    from ..quota import listed

    say(listed(paths, given.account))
    return 0


def _quota_set(given: Given, paths: RegionPaths) -> int:
    from ..quota import change

    say(change(paths, given.limit, given.value, given.account))
    return 0


def _quota_reset(given: Given, paths: RegionPaths) -> int:
    from ..quota import reset

    say(reset(paths, given.limit, given.account))
    return 0


def spot_show(_: Given, paths: RegionPaths) -> int:
    from ..spot import show

    say(show(paths))
    return 0


def _spot_share(given: Given, paths: RegionPaths) -> int:
    from ..spot import share

    say(share(paths, given.percent))
    return 0


def _spot_reclaim(given: Given, paths: RegionPaths) -> int:
    from ..spot import reclaim

    say(reclaim(paths, given.task, given.count))
    return 0
