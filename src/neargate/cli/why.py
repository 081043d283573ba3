"""`neargate why`: the account of a task or a service, asked at the operator's socket."""

import time

from . import config as configs
from .admin import ask
from .paths import RegionPaths
from .service_story import service_story
from .story import story


def why(paths: RegionPaths, name: str) -> str:
    """Raises Problem."""
    configs.load(paths)
    facts = ask(paths, "why", task=name)
    now = time.time()
    return "\n".join(service_story(facts, now) if "service" in facts else story(facts, now, paths.as_option))
