"""`scorenet completion`: print the script that completes commands, options and settings in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion of commands, options and settings for SHELL.

    bash: eval "$(scorenet completion bash)" in ~/.bashrc; zsh the same in ~/.zshrc; fish: scorenet completion fish >
    ~/.config/fish/completions/scorenet.fish.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"expected one of {', '.join(SHELLS)}, found {shell!r}")
    made = kind(context.find_root().command, {}, "scorenet", "_SCORENET_COMPLETE")
    click.echo(made.source_template % made.source_vars())
