"""Pictures of the simulation: one of each light-curve model, so that a wrong prior is seen, and of a survey.

    python -m rtf.simulation.pictures DIR

Of a model: absolute g, r and i magnitudes of three draws, without dust, in the rest frame; days since the
start, on a logarithmic axis for what is over in days. AGN are shown where brighter than the reference.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.history import BANDS
from rtf.figures import BAND_STYLE, draw_detections, save, stretched, tidy
from rtf.simulation.detections import ZERO_POINT
from rtf.simulation.light_curves import MODELS, Model, dwarf_nova, flare, nova
from rtf.simulation.light_curves.spectrum import BAND_WAVELENGTH
from rtf.simulation.survey import SimulatedSource, SimulatedSurvey, simulate_source

#: The class Cataclysmic is two models, and flares last minutes.
PICTURED = {name: model for name, model in MODELS.items() if name != "Cataclysmic"} | {
    "Dwarf nova": Model(dwarf_nova, "", 400.0),
    "Nova": Model(nova, "", 200.0),
    "Flare": Model(flare, "", 8.0),  # the first days of many
}
_DRAWS = 3
_LOGARITHMIC = {"Kilonova": 0.1, "Afterglow": 5e-4}  # first day on a logarithmic axis
#: Classes on the contact sheet, a triplet each, and those whose light curves are shown.
SHEET = (
    "SN Ia", "SN II", "SN IIP", "SN IIn", "SN Ib", "SN Ic", "SN IIb", "AGN", "TDE", "Cataclysmic", "SN Ia",
    "SN IIP",
)  # fmt: skip
SHOWN = ("SN Ia", "SN IIP", "TDE")


def draw_light(model: Model, days: np.ndarray, seed: int = 0) -> np.ndarray:
    """Absolute AB magnitudes (draws, 3, T) in g, r, i of `_DRAWS` sources, NaN where there is no light."""
    rng = np.random.default_rng(seed)
    drawn = [model.module.draw(rng, model.kind) for _ in range(_DRAWS)]
    light = np.array([[model.module.luminosity(days, w, p) for w in BAND_WAVELENGTH] for p in drawn])
    return -2.5 * np.log10(np.where(light > 0, light, np.nan))


def model_figure(name: str) -> Figure:
    """Draw the model `name` of `PICTURED`."""
    model, first = PICTURED[name], _LOGARITHMIC.get(name)
    days = np.geomspace(first, model.duration, 400) if first else np.linspace(0.25, model.duration, 800)
    light = draw_light(model, days)
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for k, band in enumerate(BANDS):
        labels = [band, *["_"] * (_DRAWS - 1)]
        axes.plot(days, light[:, k].T, color=BAND_STYLE[band][0], lw=0.9, label=labels)
    brightest = np.nanmin(light) - 0.7
    axes.set(ylim=(brightest + 12, brightest), xscale="log" if first else "linear", title=name)
    axes.set(xlabel="rest-frame days", ylabel="absolute magnitude (AB)")
    axes.legend(frameon=False)
    tidy(axes)
    return figure


def survey_figure(seed: int = 0) -> Figure:
    """Draw a contact sheet of simulated stamps, and three light curves."""
    figure = Figure(figsize=(13, 10), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1.35, 1])
    panels = above.subplots(4, 9)
    for k, name in enumerate(SHEET):
        source = simulate_source(SimulatedSurvey(k + 1, seed, {name: 1.0}, min_detections=8, stamps=True), k)
        brightest = int(source.alerts.mag.argmin())
        row = panels[k // 3, 3 * (k % 3) : 3 * (k % 3) + 3]
        row[0].set_ylabel(name, fontsize=9)
        for axes, stamp, kind in zip(
            row, source.alerts.cutouts[brightest], ("science", "template", "difference")
        ):
            image = stretched(pad_cutout(decode_cutout(stamp)))
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_title(kind if k < 3 else "", fontsize=9)
    for k, (axes, name) in enumerate(zip(below.subplots(1, len(SHOWN)), SHOWN)):
        source = simulate_source(SimulatedSurvey(100, seed, {name: 1.0}, min_detections=20), 60 + k)
        draw_source(axes, source)
        axes.set(xlabel="days since the first detection", title=f"{name}, z = {source.event.redshift:.3f}")
        axes.set_ylabel("" if k else "magnitude (AB)")
    return figure


def draw_source(axes, source: SimulatedSource) -> None:
    """Detections with errors, limits of visits without one as triangles, the light that came as a line."""
    alerts, visits = source.alerts, source.visits
    zero = alerts.mjd[0]
    draw_detections(axes, alerts.mjd - zero, alerts.mag, alerts.magerr, alerts.band, size=4)
    days = np.linspace(-25, min(alerts.mjd[-1] - zero, 150) + 10, 300)
    missed = np.setdiff1d(np.arange(len(visits.mjd)), source.detections.visit)
    for band, name in enumerate(BANDS):
        if not (alerts.band == band).any():
            continue
        colour = BAND_STYLE[name][0]
        limits = missed[visits.band[missed] == band]
        axes.plot(visits.mjd[limits] - zero, visits.depth[limits], "v", color=colour, ms=3, alpha=0.3)
        flux = source.event.flux(zero + days - source.start, np.full(len(days), band))
        light = np.where(flux > 0, flux, np.nan)
        axes.plot(days, ZERO_POINT - 2.5 * np.log10(light), color=colour, lw=0.8, alpha=0.7, label=name)
    axes.legend(frameon=False, fontsize=8)
    axes.set(xlim=(days[0], days[-1]), ylim=(21.6, alerts.mag.min() - 0.5))
    tidy(axes)


def main(arguments: list[str] | None = None) -> None:
    """Draw every model, and a survey, into a folder."""
    parser = argparse.ArgumentParser(prog="python -m rtf.simulation.pictures", description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder for the figures")
    out = parser.parse_args(arguments).out
    for name in PICTURED:
        save(model_figure(name), out / f"{name.replace(' ', '_')}.png")
    save(survey_figure(), out / "survey.png")
    print(f"{len(PICTURED) + 1} figures: {out}")


if __name__ == "__main__":
    main()
