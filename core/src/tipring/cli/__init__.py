"""The ``tipring`` command. Results go to stdout, everything else to stderr.

Exit codes: 0 fine, 1 degraded or failed, 2 the configuration or the command line is wrong.
Each subcommand is a module with a click command named ``command``, imported when it is asked for.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tipring.errors import ConfigError, TipringError

if TYPE_CHECKING:
    from tipring.config import Config

_SUBCOMMANDS = {
    "call": "Hold a call with the emulated phone.",
    "check": "Say what would answer a call, and what is in the way.",
    "config": "Show every value and where it comes from.",
    "plugins": "Show what is installed and what is in use.",
    "serve": "Answer the phone.",
}


class Failed(click.ClickException):
    """A failure that ends the command: told in its own words, without a traceback."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it to stderr."""
        click.echo(self.message, file=file, err=file is None)


class Mistaken(Failed):
    """A mistake in the configuration that ends the command."""

    exit_code = 2


class Lazy(click.Group):
    """A group that knows its commands by name and imports one when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, importing nothing."""
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in _SUBCOMMANDS:
            return None
        command = importlib.import_module(f"tipring.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list for ``--help``, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUBCOMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run, and tell a problem as a problem."""
        try:
            return super().invoke(ctx)
        except TipringError as error:
            stop = Mistaken if isinstance(error, ConfigError) else Failed
            raise stop(str(error)) from None


@click.group(cls=Lazy, name="tipring")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file. Without it $TIPRING_CONFIG, then ./tipring.toml.",
)
@click.version_option(package_name="tipring", message="%(prog)s %(version)s")
@click.pass_context
def group(ctx: click.Context, path: Path | None) -> None:
    """Answer the phone, and know when the caller is done."""
    from tipring.cli.logs import quieten

    quieten(os.environ)
    ctx.obj = path
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def configured(ctx: click.Context) -> Config:
    """The configuration a command runs with.

    Raises:
        ConfigError: It cannot be followed.
    """
    from tipring.config import load

    return load(ctx.find_object(Path))


def main() -> None:
    """The entry point."""
    group(prog_name="tipring")
