"""Fits of light curves: `python -m rtf.fit input=ALERTS_OR_TABLE model=villar out=fits.parquet`.

The input may be in any format that rtf.preprocess reads, or a store.
"""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from rtf.cli.command import command, progress_bar, read_input, resolved

_WORST = 6  # fits in the second figure


@command("fit")
def main(config: DictConfig) -> None:
    from rtf.alerts.report import NothingReadable
    from rtf.simulation import fitting

    config = resolved(config)
    settings = fitting.Settings(**{name: config[name] for name in fitting.Settings._fields})
    settings.check()
    histories, report = read_input(config)
    histories = list(histories)
    with progress_bar("fitting", len(histories), config.progress) as advance:
        fits, failures = fitting.fit_many(histories, settings, config.workers, advance)
    for failure in failures:
        report.skip(config.input, failure.reason, item=failure.object_id)
    report.write(Path(f"{config.out}.report.json"))
    print(fitting.summary(fits, failures))
    if not fits:
        raise NothingReadable(f"{config.input}: no source could be fitted; why: {config.out}.report.json")
    fitting.write_fits(fits, config.out)
    print(f"table of fits: {config.out}; what was left out and why: {config.out}.report.json")
    for figure in _figures(fits, histories, config):
        print(f"figure: {figure}")


def _figures(fits, histories, config: DictConfig) -> list[Path]:
    """Random fits in OUT.png without the table's suffix, and the worst in a second one."""
    from rtf.figures import save
    from rtf.simulation.fit_figures import fitted_figure

    if not config.pictures:
        return []
    of_object = {history.object_id: history for history in histories}
    rng = np.random.default_rng(config.seed)
    chosen = np.sort(rng.permutation(len(fits))[: config.pictures])
    worst = np.argsort([-fit.chi2 for fit in fits], kind="stable")[:_WORST]
    paths = [Path(config.out).with_suffix(suffix) for suffix in (".png", ".worst.png")]
    titles = (f"{len(chosen)} random fits, {config.model}", f"the {len(worst)} worst fits, {config.model}")
    for path, title, which in zip(paths, titles, (chosen, worst)):
        save(fitted_figure([_fitted(fits[k], of_object[fits[k].object_id]) for k in which], title), path)
    return paths


def _fitted(fit, history):
    from rtf.classes import FINE, UNKNOWN
    from rtf.simulation.fit_figures import FittedCurve
    from rtf.simulation.fitting import curve_magnitude

    brightest = history.mjd[np.argmin(history.mag)]
    history = history.select(np.flatnonzero(np.abs(history.mjd - brightest) < 250))
    time = np.linspace(history.mjd[0] - 20, history.mjd[-1] + 20, 300)
    name = "unknown class" if fit.label == UNKNOWN else FINE[fit.label]
    return FittedCurve(
        f"{name}  ·  {fit.object_id}\n{fit.n.sum()} detections, chi2 / dof = {fit.chi2:.2f}",
        history.mjd, history.band, history.mag, history.magerr, time,
        np.stack([curve_magnitude(fit, time, band) for band in range(3)]),
    )  # fmt: skip


if __name__ == "__main__":
    main()
