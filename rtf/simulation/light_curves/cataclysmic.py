"""Cataclysmic variables as a class: dwarf novae, and some novae; the parameter `nova` is 1 for a nova."""

import numpy as np

from rtf.simulation.light_curves import dwarf_nova, nova

NOVA_SHARE = 0.18  # of the cataclysmic ZTF sources of the Transient Name Server, 53 of 293 are novae


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one cataclysmic variable."""
    is_nova = rng.random() < NOVA_SHARE
    return (nova if is_nova else dwarf_nova).draw(rng) | {"nova": float(is_nova)}


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) above quiescence at `phase` days after the first outburst begins."""
    return (nova if parameters["nova"] else dwarf_nova).luminosity(phase, wavelength, parameters)
