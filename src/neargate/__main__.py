"""`python -m neargate`: the same as the command `neargate`."""

from .cli.entry import main

main()
