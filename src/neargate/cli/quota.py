"""`neargate quota list|set|reset`: the limits of accounts, asked and changed at the operator's socket."""

from .admin import ask
from .inspect import table
from .paths import RegionPaths

_MODES = {
    "aws": "AWS's own values hold where nothing is set",
    "machine": "rates are not limited and vCPUs are what the hosts have, where nothing is set",
}


def listed(paths: RegionPaths, account: str) -> str:
    """Every limit of the account, or of all accounts; then accounts' own values and open requests."""
    facts = ask(paths, "quota-list", account=account)
    lines = [
        f"--quotas {facts['mode']}: {_MODES[facts['mode']]}",
        f"calls refused since the server started: {facts['refused']}",
        "",
    ]
    rows: list[tuple[str, ...]] = [("LIMIT", "VALUE", "AWS", "SET", "NAME")]
    rows += [
        (item["key"], item["value"], item["aws"], "yes" if item["is_set"] else "-", item["name"])
        for item in facts["limits"]
    ]
    lines += table(rows)
    if facts["own"]:
        lines += [
            "",
            *table([("ACCOUNT", "LIMIT", "VALUE"), *((i["account"], i["key"], i["value"]) for i in facts["own"])]),
        ]
    if facts["requests"]:
        lines.append("")
        head = ("ASKED BY", "LIMIT", "WANTED", "")
        answer = "grant it: neargate quota set {key} {desired} --account {account}" + paths.as_option
        lines += table([head, *((i["account"], i["key"], i["desired"], answer.format(**i)) for i in facts["requests"])])
    return "\n".join(lines)


def change(paths: RegionPaths, key: str, value: str, account: str) -> str:
    ask(paths, "quota-set", key=key, value=value, account=account)
    return f"{key} is now {value} for {_whom(account)}"


def reset(paths: RegionPaths, key: str, account: str) -> str:
    ask(paths, "quota-reset", key=key, account=account)
    return f"{key} is no longer set for {_whom(account)}"


def _whom(account: str) -> str:
    return f"account {account}" if account else "all accounts"
