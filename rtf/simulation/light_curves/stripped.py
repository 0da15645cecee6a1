"""SN Ib, Ic and IIb: radioactive heating diffusing out (Arnett 1982), and shock cooling before it in IIb.

L(t) ∝ exp(-x²) ∫₀ˣ [A(z) + B(z)] exp(z²) dz with x = t / tau_m and A, B the decay of 56Ni and 56Co
(Valenti et al. 2008, eq. A1), with gamma rays escaping as 1 - exp(-(t_gamma / t)²) (Clocchiatti &
Wheeler 1997). Colours are a cooling black body with iron blanketing in g. IIb add the cooling of an
extended envelope, L ∝ exp(-t (t + 2 t_e) / (2 t_p²)) (Piro 2015, eq. 12), hot and gone in days.

Parameters (rest frame)
-----------------------
tau_m [d] : diffusion time, log-normal: Ib 11.5 (0.2 dex-e), Ic 10.5 (0.28, wide for the broad-lined), IIb 11
    (0.18): with nickel heating this rises in 14 to 21 days (Taddia et al. 2015, 2018; Prentice et al. 2016)
t_gamma [d] : log-normal about 100 (0.25)
temperature : at explosion 11 000 K falling to 4 800 K (scatter 8 %) with e-folding time 14 d (0.25)
blanketing [mag] : of g once cool, normal(0.25, 0.1)
cooling : IIb alone: peak ratio to the nickel peak, log-normal about 0.7 (0.6); t_p log-normal 2.5 d (0.3);
    t_e 0.3 t_p. Half of IIb show it above the nickel rise, as observed (Pellegrino et al. 2023)
host_dust [mag] : E(B-V), exponential of mean 0.15 (Stritzinger et al. 2018)
"""

import numpy as np

from rtf.simulation.light_curves.blackbody import ratio_to_r

TAU_NI, TAU_CO = 8.8, 111.3  # e-folding times of 56Ni and 56Co [d] (Nadyozhin 1994)
HEAT_NI, HEAT_CO = 3.9e10, 6.8e9  # specific heating [erg/s/g]
_DIFFUSION = {"Ib": (11.5, 0.20), "Ic": (10.5, 0.28), "IIb": (11.0, 0.18)}
_STEP = 0.5
_TIME = np.arange(0.0, 260.0, _STEP)


def draw(rng: np.random.Generator, kind: str = "Ib") -> dict:
    """Parameters of one stripped-envelope supernova of `kind` Ib, Ic or IIb, see the file's docstring."""
    normal = rng.standard_normal(7)
    centre, scatter = _DIFFUSION[kind]
    cooling_time = 2.5 * np.exp(0.3 * normal[5])
    return {
        "tau_m": centre * np.exp(scatter * normal[0]),
        "t_gamma": 100 * np.exp(0.25 * normal[1]),
        "cool_temperature": 4800 * np.exp(0.08 * normal[2]),
        "cool_time": 14 * np.exp(0.25 * normal[3]),
        "blanketing": 0.25 + 0.1 * normal[4],
        "cooling": 0.7 * np.exp(0.6 * normal[6]) if kind == "IIb" else 0.0,
        "cooling_time": cooling_time,
        "host_dust": 0.15 * rng.exponential(),
    }


def arnett(tau_m: float, t_gamma: float) -> np.ndarray:
    """Luminosity on the grid `_TIME`, peak 1."""
    # The recursion L_k = L_(k-1) exp(-(x_k² - x_(k-1)²)) + heating is stable where exp(x²) overflows.
    heat = (HEAT_NI - HEAT_CO) * np.exp(-_TIME / TAU_NI) + HEAT_CO * np.exp(-_TIME / TAU_CO)
    x2 = (_TIME / tau_m) ** 2
    inside = int(min(len(_TIME), 6 * tau_m / _STEP))
    weight = heat[:inside] * _TIME[:inside] * np.exp(x2[:inside] - x2[inside - 1])
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (weight[1:] + weight[:-1]))]) * _STEP
    light = heat.copy()
    light[:inside] = 2 / tau_m**2 * integral * np.exp(x2[inside - 1] - x2[:inside])
    with np.errstate(divide="ignore"):
        light *= -np.expm1(-((t_gamma / np.maximum(_TIME, 1e-3)) ** 2))
    return light / light.max()


def relative_flux(phase, band, parameters: dict, redshift: float):
    """Flux relative to the r-band peak (T,) at `phase` days after explosion."""
    light = arnett(parameters["tau_m"], parameters["t_gamma"])
    nickel = np.interp(phase, _TIME, light, left=0.0)
    age = np.maximum(phase, 0.0)
    cool = parameters["cool_temperature"]
    temperature = cool + (11000 - cool) * np.exp(-age / parameters["cool_time"])
    blanket = parameters["blanketing"] * (1 - np.exp(-((age / 20) ** 2)))
    # r holds a rising share of the light as the source cools; dividing it out keeps r's own peak at 1.
    flux = nickel * ratio_to_r(temperature, band, redshift) * np.where(band == 0, 10 ** (-0.4 * blanket), 1.0)
    if parameters["cooling"]:
        tp = parameters["cooling_time"]
        piro = parameters["cooling"] * np.exp(-age * (age + 0.6 * tp) / (2 * tp**2)) * -np.expm1(-age / 0.3)
        flux = flux + piro * ratio_to_r(16000 * (1 + age) ** -0.25, band, redshift)
    return np.where(phase > 0, flux, 0.0)
