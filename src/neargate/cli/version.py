"""The release: what `--version` says, and the build that metrics name."""

VERSION = "0.1.0"
