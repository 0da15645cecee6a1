"""Judge a simulated survey against real data: `python -m rtf.check out=DIR real=FOLDER`."""

from functools import partial

from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.cli.command import command, progress_bar, resolved


@command("check")
def main(config: DictConfig) -> None:
    from rtf.simulation.check.report import check

    config = resolved(config)
    report = check(
        partial(instantiate, config.simulation, _convert_="all"), config.real, config.out,
        parts=tuple(config.parts), n_sources=config.n_sources, n_light_curves=config.n_light_curves,
        seed=config.seed,
        progress=partial(progress_bar, show=config.progress),
    )  # fmt: skip
    print(report)


if __name__ == "__main__":
    main()
