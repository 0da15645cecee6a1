"""Simulating a survey, with stamps and without, on one core.

Counted first: of a triplet the science and difference stamps are drawn and packed, the template once a band.
A stamp is 4,000 normal deviates (25 us) and 16 kB of noise to compress (250 us), and both take three inverse
transforms of 80 x 80 (60 us each): about 1 ms a triplet. A source takes some 5 ms more for its galaxies.
The baseline draws all objects of each stamp anew with galsim and packs it with astropy and gzip.
"""

import gzip
import io
import time

import galsim
import numpy as np
from astropy.io import fits

from rtf.alerts.report import ReadReport
from rtf.simulation.metadata import draw_metadata
from rtf.simulation.populations import POPULATIONS
from rtf.simulation.stamps import MOFFAT, PIXEL, ZERO_POINT, draw_stamps
from rtf.simulation.survey import SimulatedSurvey
from tests.benchmarks.memory import peak_memory
from tests.simulation.test_metadata import alerts, exposures
from tests.simulation.test_scene import HIGH, LOW, draw_scene, event

ALERTS = 20


def sources(count: int):
    """Events of all classes, in sparse and crowded fields by turns, and their scenes."""
    rng = np.random.default_rng(0)
    names = list(POPULATIONS)
    for number in range(count):
        name = names[number % len(names)]
        source = event(name, redshift=0.06 if POPULATIONS[name].redshift_max else 0.0)
        place = LOW if number % 5 == 0 else HIGH
        yield place, source, draw_scene(rng, source, place)


def rate(task, items) -> float:
    """Items a second of process time."""
    began = time.process_time()
    for item in items:
        task(*item)
    return len(items) / (time.process_time() - began)


def drawn_anew(scene, fwhm: float) -> bytes:
    """One stamp as galsim draws it from scratch, as gzipped FITS."""
    psf = galsim.Moffat(MOFFAT, fwhm=fwhm * PIXEL)
    image = galsim.ImageF(63, 63, scale=PIXEL)
    for k in range(len(scene.dx)):
        flux = 10 ** (-0.4 * (scene.magnitudes[k, 1] - ZERO_POINT[1]))
        profile = psf
        if not scene.star[k]:
            disc = galsim.Exponential(half_light_radius=scene.radius[k])
            profile = galsim.Convolve(disc.shear(q=scene.axis_ratio[k], beta=0 * galsim.degrees), psf)
        offset = (-scene.dx[k] / PIXEL, -scene.dy[k] / PIXEL)
        profile.withFlux(flux).drawImage(image, offset=offset, add_to_image=True)
    image.addNoise(galsim.GaussianNoise(galsim.BaseDeviate(1), 8.0))
    stream = io.BytesIO()
    fits.PrimaryHDU(image.array).writeto(stream)
    return gzip.compress(stream.getvalue(), mtime=0)


def test_stamps_and_metadata():
    rng, visits, detections = np.random.default_rng(1), exposures(2 * ALERTS), alerts(ALERTS)
    items = list(sources(60))

    def stamps(place, source, scene):
        draw_stamps(rng, visits, detections, scene, place)

    def metadata(place, source, scene):
        draw_metadata(rng, visits, detections, scene, place, source)

    def scenes(place, source, scene):
        draw_scene(rng, source, place)

    stamps(*items[0])  # warm-up: galsim's import and curves
    baseline = rate(lambda scene: drawn_anew(scene, 2.1), [(scene,) for *_, scene in items[:8]])
    print(f"\n{ALERTS} alerts a source, all classes, a fifth of them in the Galactic plane")
    print(f"  galsim and astropy, anew   {baseline:8.0f} stamps/s")
    ours = rate(stamps, items)
    print(f"  stamps                     {ours * 3 * ALERTS:8.0f} stamps/s, {ours:.1f} sources/s")
    print(f"  scenes                     {rate(scenes, items * 10):8.0f} sources/s")
    print(f"  metadata                   {rate(metadata, items * 10):8.0f} sources/s")


def survey_rate(number: int, **settings) -> tuple[float, float]:
    """Sources and detections a second of a whole survey, warmed up by its first units."""
    survey, report = SimulatedSurvey(number, **settings), ReadReport()
    units = survey.units()
    for _ in survey.read(units[0], ReadReport()):
        pass
    began = time.perf_counter()
    count = sum(1 for unit in units[1:] for _ in survey.read(unit, report))
    seconds = time.perf_counter() - began
    return count / seconds, (report.counts["detections"] + report.counts["negative"]) / seconds


def simulate(number: int) -> None:
    """Simulate sources and keep none."""
    survey = SimulatedSurvey(number)
    for unit in survey.units():
        for _ in survey.read(unit, ReadReport()):
            pass


def test_whole_surveys():
    plain, rich = survey_rate(2560), survey_rate(128, stamps=True)
    print("\nsurveys of the published class shares, one core")
    print(f"  without stamps   {plain[0]:8,.0f} sources/s, {plain[1]:8,.0f} alerts/s")
    print(f"  with all stamps  {rich[0]:8,.1f} sources/s, {rich[1]:8,.0f} alerts/s of three stamps")
    print(f"  the same for sources of 20 alerts  {rich[1] / 20:,.1f} sources/s")
    small, large = peak_memory(simulate, 1000), peak_memory(simulate, 6000)
    print(f"  peak memory for 1,000 sources {small:,.0f} MiB, for 6,000 {large:,.0f} MiB")
