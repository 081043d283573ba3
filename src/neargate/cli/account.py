"""`neargate account create|list|keys|kernel`: the accounts of a region, asked and changed at the operator's socket."""

import shlex
from typing import Any

from . import config as configs
from .admin import ask
from .inspect import table
from .paths import RegionPaths


def create(paths: RegionPaths, name: str, number: str) -> str:
    """Shell lines as `neargate env` prints them, with the new administrator's key."""
    return _exports(paths, ask(paths, "account-create", name=name, id=number))


def sharing_of(paths: RegionPaths) -> str:
    """What a further account means for where tasks run; nothing where it means nothing."""
    config = configs.load(paths)
    if not config.may_share_kernels or config.tenancy != "strict":
        return ""
    return (
        "tasks of two accounts never share a host: while one's run on it, the other's find no room there. If you trust "
        "all accounts: neargate up --tenancy shared (docs/operating.md)"
    )


def listed(paths: RegionPaths) -> str:
    config = configs.load(paths)
    rows: list[tuple[str, ...]] = [("ACCOUNT", "NAME", "USERS", "KERNEL", "ADMINISTRATOR'S KEYS")]
    for account in ask(paths, "account-list")["accounts"]:
        keys = list(account["keys"])
        if account["id"] == config.account:
            keys.insert(0, f"that of {paths.administrator.name}")
        kernel = "yes" if account["kernel"] else "-"
        rows.append((account["id"], account["name"], str(account["users"]), kernel, ", ".join(keys) or "none"))
    return "\n".join(table(rows))


def keys(paths: RegionPaths, number: str, *, replace: bool) -> str:
    return _exports(paths, ask(paths, "account-keys", id=number, replace=replace))


def kernel(paths: RegionPaths, number: str, *, allow: bool) -> str:
    """The leave to ask for what only a kernel of a task's own gives."""
    ask(paths, "account-kernel", id=number, allow=allow)
    if not allow:
        return f"tasks of account {number} may not have privileges, devices and kernel parameters; what runs goes on"
    return f"tasks of account {number} may have privileges, devices and kernel parameters (docs/microvms.md)"


def kernels_of(paths: RegionPaths) -> str:
    """What the leave is worth on this machine; nothing where it is worth something."""
    if configs.load(paths).sandbox != "container":
        return ""
    return (
        "tasks that ask for them run in machines of their own only, which this machine's agent does not make: "
        "neargate up --sandbox microvm (docs/microvms.md)"
    )


def _exports(paths: RegionPaths, made: dict[str, Any]) -> str:
    config = configs.load(paths)
    values = {
        "AWS_ENDPOINT_URL": config.endpoint,
        "AWS_REGION": config.region,
        "AWS_DEFAULT_REGION": config.region,
        # Live tails are asked of stream-NAME on AWS: the endpoint has one name, and that may be a number.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "AWS_ACCESS_KEY_ID": made["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": made["secret_access_key"],
    }
    lines = [f"# account {made['id']}; the secret is shown this once"]
    lines += [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
    return "\n".join([*lines, "unset AWS_SESSION_TOKEN AWS_PROFILE"])
