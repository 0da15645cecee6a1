"""The screen shows text as it is."""


def say(*things) -> None:
    """Print texts and rich tables on stdout, one below the other.

    Brackets in a path are no markup. Where stdout is no terminal, tables take the width they need.
    """
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    for thing in things:
        if not console.is_terminal:
            console.width = 10_000
            console.width = max(80, console.measure(thing).maximum)
        console.print(thing, soft_wrap=isinstance(thing, str))
