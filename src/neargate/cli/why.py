"""`neargate why`: the account of a task, a service, a load balancer or a target group, asked at the operator's socket.

Of load balancers, what the network lets pass is found out here, by the model that `trace-path` has.
"""

import time
from typing import Any

from ..tracing.region import Region
from . import config as configs
from .admin import ask
from .balancing.paths import stops
from .path_model import describe
from .paths import RegionPaths
from .stories.balancer import balancer_story, group_story
from .stories.service import service_story
from .stories.task import story
from .trace_path import asked_network, private_beyond


def why(paths: RegionPaths, name: str) -> str:
    """Raises Problem."""
    configs.load(paths)
    facts = ask(paths, "why", task=name)
    now, option = time.time(), paths.as_option
    if "balancer" in facts:
        one = facts["balancer"]
        found = _stops(paths, [one], facts["groups"])
        lines = balancer_story(facts, found[one["arn"]], now, option)
    elif "target_group" in facts:
        lines = group_story(facts, _stops(paths, facts["balancers"], [facts["target_group"]]), now, option)
    else:
        lines = service_story(facts, now, option) if "service" in facts else story(facts, now, option)
    return "\n".join(lines)


def _stops(paths: RegionPaths, balancers: list[dict[str, Any]], groups: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What the network does not let pass of each load balancer's, by ARN."""
    if not balancers:
        return {}
    network = asked_network(paths, balancers[0]["account"])
    region = Region(describe(network, configs.load(paths).port, private_beyond(paths)))
    return {one["arn"]: stops(region, one, groups) for one in balancers}
