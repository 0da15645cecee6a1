"""The screen: text as it is, in whatever characters the screen has."""

import sys


def say(*things) -> None:
    """Print texts and rich tables on stdout, one below the other.

    Brackets in a path are no markup. Characters that the screen's encoding lacks become `?`: a command must
    not fail after all its work for want of a Greek letter. Where stdout is no terminal, tables take the width
    they need.
    """
    from rich.console import Console

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    console = Console(markup=False, highlight=False, emoji=False)
    for thing in things:
        if not console.is_terminal:
            console.width = 10_000
            console.width = max(80, console.measure(thing).maximum)
        console.print(thing, soft_wrap=isinstance(thing, str))
