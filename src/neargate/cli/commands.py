"""The command line: one function per command, each a few lines over a module that does the work."""

import sys
from typing import Annotated

import typer

from .config import RegionConfig
from .paths import region_paths

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Neargate: AWS Fargate that you run yourself.",
)
Data = Annotated[str | None, typer.Option("--data", help="Data directory of the region (default /var/lib/neargate).")]


def _say(line: str) -> None:
    print(line, flush=True)


@app.command()
def up(
    data: Data = None,
    region: Annotated[str, typer.Option(help="Name of the region.")] = "us-east-1",
    account: Annotated[str, typer.Option(help="Account id, 12 digits.")] = "123456789012",
    zones: Annotated[str, typer.Option(help="Letters of the availability zones.")] = "a,b,c",
    port: Annotated[int, typer.Option(help="Port of the API on 127.0.0.1 (the image registry takes the next).")] = 4566,
    auth: Annotated[str, typer.Option(help="enforce, or open: any key is the administrator (tests).")] = "enforce",
    containerd: Annotated[str, typer.Option(help="own: an instance of Neargate's; system: the machine's.")] = "own",
    sandbox: Annotated[str, typer.Option(help="container, or simulated: hosts that start nothing.")] = "container",
    hosts: Annotated[int, typer.Option(help="Simulated hosts per zone.")] = 1,
    host_cpu: Annotated[int, typer.Option(help="CPU units of a simulated host.")] = 4096,
    host_memory: Annotated[int, typer.Option(help="MiB of a simulated host.")] = 16384,
    background: Annotated[bool, typer.Option("--background", "-d", help="Return when the region answers.")] = False,
) -> None:
    """Run a region on this machine."""
    from .up import up as run
    from .up import up_in_background

    config = RegionConfig(
        region=region,
        account=account,
        zones=tuple(zones.split(",")),
        port=port,
        auth=auth,
        containerd=containerd,
        sandbox=sandbox,
        hosts=hosts,
        host_cpu=host_cpu,
        host_memory=host_memory,
    )
    paths = region_paths(data)
    if background:
        passed = [word for word in sys.argv[2:] if word not in ("--background", "-d")]
        raise typer.Exit(up_in_background(paths, passed, config, _say))
    raise typer.Exit(run(paths, config, _say))


@app.command()
def down(data: Data = None) -> None:
    """Stop all tasks by the normal path, then every process; the databases stay."""
    from .down import down as run

    run(region_paths(data), _say)


@app.command()
def env(data: Data = None) -> None:
    """Print shell lines for: eval "$(neargate env)"."""
    from .environment import exports, warning

    _say(exports(region_paths(data)))
    doubt = warning()
    if doubt:
        print(f"neargate: {doubt}", file=sys.stderr)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def aws(context: typer.Context, data: Data = None) -> None:
    """Run the aws command against the region: neargate aws ecs list-clusters."""
    from .environment import run_aws

    raise typer.Exit(run_aws(region_paths(data), context.args))


@app.command()
def status(data: Data = None) -> None:
    """Hosts, their room, and running tasks."""
    from .inspect import status as show

    _say(show(region_paths(data)))


@app.command()
def logs(
    task: Annotated[str, typer.Argument(help="Task id or ARN; the first digits are enough.")],
    data: Data = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until the task stops.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 100,
) -> None:
    """Print a task's output, all containers in order of time."""
    from .inspect import logs as show

    show(region_paths(data), task, lines=lines, follow=follow, say=_say)


@app.command()
def why(
    task: Annotated[str, typer.Argument(help="Task id or ARN; the first digits are enough.")], data: Data = None
) -> None:
    """Explain a task: what happened when, why it stopped, where its start time went."""
    from .inspect import why as show

    _say(show(region_paths(data), task))


@app.command()
def doctor(data: Data = None) -> None:
    """Check this machine: one line for each thing, with the command that helps."""
    from .doctor import report

    lines, fine = report(region_paths(data))
    _say("\n".join(lines))
    raise typer.Exit(0 if fine else 1)


@app.command()
def sample(data: Data = None) -> None:
    """Build, push and run the sample task, and show that it works."""
    from .sample import run

    run(region_paths(data), _say)


@app.command(name="server")
def server_help() -> None:
    """Run the control plane alone (up does this for you)."""


@app.command(name="agent")
def agent_help() -> None:
    """Run this machine's agent alone (up does this for you)."""
