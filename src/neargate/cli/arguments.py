"""How every command takes its words: wrong usage is one line, as every other error."""

import argparse
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An option is written whole, as its meaning may grow."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"neargate: {message}; see: {self.prog} --help\n")
