"""How far a survey is from real data: `python -m rtf.check real=A.zarr simulated=B.zarr out=check`."""

from functools import partial

from omegaconf import DictConfig, OmegaConf

from rtf.cli.command import command, progress_bar, resolved


@command("check")
def main(config: DictConfig) -> None:
    from rtf.check.page import Selection, check
    from rtf.console import say
    from rtf.documents import to_rich

    config = resolved(config)
    values = OmegaConf.to_container(config)
    selection = Selection(**{name: values[name] for name in Selection._fields})
    verdict, page = check(
        config.real, config.simulated, config.out, selection,
        split=config.split, at_most=config.at_most, seed=config.seed, repeats=config.repeats,
        progress=partial(progress_bar, show=config.progress),
    )  # fmt: skip
    say(to_rich(verdict), f"report: {page}")


if __name__ == "__main__":
    main()
