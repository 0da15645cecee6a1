"""Fits of light curves with Villar's function: `python -m rtf.fit input=ALERTS_OR_TABLE out=fits.parquet`.

The input may be in any format that rtf.preprocess reads, or a store.
"""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from rtf.cli.command import command, progress_bar, read_input, resolved


@command("fit")
def main(config: DictConfig) -> None:
    from rtf.alerts.history import BANDS, one_survey
    from rtf.alerts.report import NothingReadable
    from rtf.simulation import fitting

    config = resolved(config)
    settings = fitting.Settings(**{name: config[name] for name in fitting.Settings._fields})
    settings.check()
    histories, report = read_input(config)
    histories = list(histories)
    if (survey := one_survey(h.survey for h in histories)).bands != BANDS:
        raise ValueError(f"{config.input}: fits are of the bands {', '.join(BANDS)}, not of {survey.title}'s")
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
    if config.pictures:
        draw(fits, histories, config)


def draw(fits, histories, config: DictConfig) -> None:
    """Random fits in OUT.png without the table's suffix, and the worst in a second one."""
    from rtf.figures import light_curve_figure, save

    of_object = {history.object_id: history for history in histories}
    chosen = np.sort(np.random.default_rng(config.seed).permutation(len(fits))[: config.pictures])
    worst = np.argsort([-fit.chi2 for fit in fits], kind="stable")[:6]
    for suffix, which, what in ((".png", chosen, "random"), (".worst.png", worst, "worst")):
        path = Path(config.out).with_suffix(suffix)
        curves = [fitted(fits[k], of_object[fits[k].object_id], config.after) for k in which]
        save(light_curve_figure(curves, f"{len(which)} {what} fits"), path)
        print(f"figure: {path}")


def fitted(fit, history, days: float):
    """Detections within so many days of the brightest, and the fitted curve at their times."""
    from rtf.figures import LightCurve, class_name
    from rtf.simulation.fitting import curve_magnitude

    near = history.select(np.flatnonzero(np.abs(history.mjd - history.mjd[history.mag.argmin()]) <= days))
    curve = np.array([curve_magnitude(fit, mjd, band) for mjd, band in zip(near.mjd, near.band)])
    dt, title = near.mjd - near.mjd[0], f"{class_name(fit.label)}, chi2 / dof = {fit.chi2:.2f}"
    curve = np.minimum(curve, near.mag.max() + 1)
    return LightCurve(fit.object_id, title, dt, near.mag, near.magerr, near.band, dt, curve, near.band)


if __name__ == "__main__":
    main()
