import matplotlib.image
import numpy as np
import pytest

from rtf.classes import FINE
from rtf.figures import LightCurve, confusion_figure, light_curve_figure


def curve(length=12, seed=0, **changes):
    rng = np.random.default_rng(seed)
    dt = np.sort(rng.uniform(0, 60, length))
    mag, band = 18 + 0.02 * dt, rng.integers(0, 3, length)
    columns = dict(dt=dt, mag=mag, magerr=np.full(length, 0.1), band=band)
    columns |= dict(predicted_dt=dt + 1, predicted_mag=mag + 0.1, predicted_band=band)
    return LightCurve("ZTF18aaaaaaa", "SN Ia", **(columns | changes))


def picture(path):
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return matplotlib.image.imread(path)[..., :3]


def is_drawn(image, width, height):
    assert image.shape[1] > width and image.shape[0] > height
    rgb = np.round(image * 255).astype(int) @ [65536, 256, 1]
    assert len(np.unique(rgb)) > 50
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert (border == 1).all()  # nothing is cut off


def test_confusion_figure(tmp_path):
    counts = np.random.default_rng(0).integers(0, 2000, (10, 10))
    counts[4] = 0
    confusion_figure(counts, FINE[:10], tmp_path / "confusion.png", "Linear probe")
    is_drawn(picture(tmp_path / "confusion.png"), 900, 900)
    with pytest.raises(ValueError, match="10 class names"):
        confusion_figure(counts[:3], FINE[:10], tmp_path / "wrong.png")
    assert not (tmp_path / "wrong.png").exists()


def test_light_curve_figure(tmp_path):
    light_curve_figure([curve(n, n) for n in (1, 5, 30, 12, 9)], tmp_path / "lc.png", "Reconstruction")
    image = picture(tmp_path / "lc.png")
    is_drawn(image, 1500, 800)
    for colour in ((0x1B, 0x8A, 0x4B), (0xB2, 0x18, 0x2B), (0xDA, 0xA5, 0x20)):
        assert (np.abs(image * 255 - colour).max(2) < 2).sum() > 50


def test_one_light_curve(tmp_path):
    light_curve_figure([curve()], tmp_path / "lc.png")
    is_drawn(picture(tmp_path / "lc.png"), 900, 550)


def test_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="no light curves"):
        light_curve_figure([], tmp_path / "lc.png")
    with pytest.raises(ValueError, match="ZTF18aaaaaaa: no detections"):
        light_curve_figure([curve(0)], tmp_path / "lc.png")
    with pytest.raises(ValueError, match="predicted_mag must hold 12"):
        light_curve_figure([curve(predicted_mag=np.full(12, np.nan))], tmp_path / "lc.png")
