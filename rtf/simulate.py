"""A simulated, labelled survey, as a store or as alerts: `python -m rtf.simulate out=survey.zarr seed=0`."""

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rtf import __version__
from rtf.cli.command import command, progress_bar, resolved


@command("simulate")
def main(config: DictConfig) -> None:
    config = resolved(config)
    try:
        survey = instantiate(config.simulation, _convert_="all")
    except InstantiationException as error:  # settings that a part of the survey refuses
        raise ValueError(str(error.__cause__ or error)) from error
    if config.format == "store":
        from rtf.store.build import preprocess
        from rtf.store.read import open_store

        # The simulator speaks as a reader does, so a survey is stored the way alerts are.
        preprocess(
            survey, "simulated survey", config.out,
            workers=config.workers, seed=config.seed, fractions=tuple(config.fractions),
            append=config.append, overwrite=config.overwrite, progress=config.progress,
        )  # fmt: skip
        print(open_store(config.out).summary())
    elif config.append:
        raise ValueError("append=true adds to a store; alert packets are written anew (format=store)")
    else:
        _to_alerts(survey, config)


def _to_alerts(survey, config: DictConfig) -> None:
    from rtf.simulation.write import write_survey
    from rtf.store.splits import SPLITS, check_fractions, stratified

    fractions = check_fractions(config.fractions)
    settings = {**OmegaConf.to_container(config), "version": __version__}
    for name in (
        "out",
        "workers",
        "append",
        "overwrite",
        "progress",
        "debug",
    ):  # change nothing in what is written
        del settings[name]

    def split(names, labels):
        return [SPLITS[k] for k in stratified(names, labels, config.seed, fractions)]

    with progress_bar("simulating", survey.n_sources, config.progress) as advance:
        counts = write_survey(
            survey, config.out, config.format, settings=settings, split=split,
            workers=config.workers, overwrite=config.overwrite, done=advance,
        )  # fmt: skip
    print(
        f"{config.out}: {counts['sources']:,} sources, {counts['alerts']:,} alerts "
        f"({counts.get('negative', 0):,} of negative subtractions), and in their histories "
        f"{counts.get('past', 0):,} alerts and {counts.get('non_detections', 0):,} non-detections"
        + (f", {counts['forced']:,} rows of forced photometry" if "forced" in counts else "")
    )
    command = f"python -m rtf.preprocess input={config.out} out=store.zarr"
    if config.format != "applecider":  # whose reader finds them itself
        command += f" labels={config.out}/labels.csv splits={config.out}/splits.csv"
    print(f"to a store: {command}")


if __name__ == "__main__":
    main()
