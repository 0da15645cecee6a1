"""A map from one run's fingerprints to another's: `python -m rtf.align old=RUN new=RUN store=STORE`.

An archive of old fingerprints can then be searched with new ones, and the old run's probe reads them.
"""

from functools import partial

from omegaconf import DictConfig

from rtf.cli.command import command, progress_bar, resolved


@command("align")
def main(config: DictConfig) -> None:
    from rtf.console import say
    from rtf.documents import to_rich
    from rtf.evaluation.align import MAP, align

    config = resolved(config)
    settings = {"seed": config.seed, "n_bootstrap": config.n_bootstrap}
    settings["progress"] = partial(progress_bar, show=config.progress)
    _, tables, folder = align(config.old, config.new, config.store, config.out, **settings)
    say(*map(to_rich, tables), f"map: {folder / MAP}")


if __name__ == "__main__":
    main()
