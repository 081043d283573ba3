"""What `neargate server` does before it loads its code: one server of the region, and a fork that writes its databases.

Imported and run first (`entry.py`), so it imports little: what is loaded when the writing process is made, that process
has too, and the server soon touches and thereby copies most of it. Must not know what is served.
"""

import os
import socket

from msgspec import Struct

from ..log import write_to_stderr
from . import config as configs
from . import database_process
from .allocator import keep_little
from .config import RegionConfig
from .own_words import own_words
from .paths import RegionPaths, region_paths
from .prepare import prepare
from .privileges import allow_open_files
from .processes import claim
from .supervisor import USER


class Started(Struct, frozen=True, kw_only=True):
    """`databases`: the server's end of its writing process's control socket."""

    paths: RegionPaths
    config: RegionConfig
    databases: socket.socket


def start(arguments: list[str]) -> Started:
    """Raises Problem, also when the region has a server."""
    write_to_stderr()
    allow_open_files()
    keep_little()
    paths = region_paths(own_words("neargate server", arguments).data)
    config = configs.load(paths)
    if not paths.server_run.exists():
        prepare(paths, config)
    claim(paths.pid_file("server"), "the server of this region")
    databases = database_process.start(USER if os.geteuid() == 0 else None)
    return Started(paths=paths, config=config, databases=databases)
