"""Export a model to ONNX: `python -m rtf.export run=RUN out=DIR`.

OUT/encode.onnx      plain arrays to fingerprints, with all preprocessing inside
OUT/decode.onnx      fingerprints, days and bands to magnitudes
OUT/from_code.onnx   codes to fingerprints, where the model has codes of whole bytes
OUT/model.json       what the arrays are, the classes, the view, the space
OUT/golden.npz, golden.json   16 sources, inputs and outputs, to check a port in any language against
OUT/README.md        how
"""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import torch

from rtf import __version__
from rtf.alerts.cutouts import SIZE
from rtf.alerts.history import BANDS, METADATA_FIELDS
from rtf.classes import FINE
from rtf.encoding.exported import DECODE, DESCRIPTION, ENCODE, FROM_CODE, Exported
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.encoding.fingerprints import RunError
from rtf.encoding.graph import FromArrays, FromCode, FromFingerprint
from rtf.features.stamps import KINDS
from rtf.files import whole, write_json
from rtf.jobs import put_in_place

OPSET = 18
#: Axes of the inputs and outputs that may have any length, by their name in the graph.
_AXES = {0: "batch", 1: "length"}
_SIZES = {"limit_mjd": "limits", "limit_band": "limits", "limit_mag": "limits"}
_FIXED = ("stamps", "fingerprint", "code")  # whose second axis is fixed


def export(model: Fingerprinter, out: str | Path, about: dict | None = None) -> Path:
    """Write a model's graphs, their description and golden vectors to the folder `out`, whole or not at all.

    Parameters
    ----------
    about : further facts for the description, such as the run's name

    Raises
    ------
    RunError : the model cannot be exported (`rtf.encoding.graph.refuse`), the graph has an operator that ONNX
        Runtime lacks on CUDA, or its answers are not the model's
    """
    import onnx

    out = Path(out)
    encoder = FromArrays(model)
    graphs = {ENCODE: encoder, DECODE: FromFingerprint(model)}
    if encoder.packs:
        graphs[FROM_CODE] = FromCode(model)
    head = model.model.head
    description = {
        **(about or {}),
        "rtf": __version__,
        "opset": OPSET,
        "space": model.space,
        "inputs": encoder.inputs,
        "outputs": encoder.outputs,
        "bands": list(BANDS),
        "classes": list(FINE[: head[-1].out_features]) if head is not None else [],
        "metadata": list(METADATA_FIELDS),
        "view": encoder.view,
        "fingerprint": model.config.latent_dim,
        "code_bytes": len(encoder.sizes) if encoder.packs else 0,
    }
    new = out.with_name(f".{out.name}.new")
    remove(new)
    new.mkdir(parents=True)
    for name, graph in graphs.items():
        _write(graph, new / name)
        proto = onnx.load(new / name)
        onnx.helper.set_model_props(proto, {k: str(v) for k, v in description.items()})
        proto.producer_name, proto.producer_version = "rtf", __version__
        if unknown := without_cuda(proto):
            raise RunError(f"{name}: ONNX Runtime has no CUDA kernel for {', '.join(unknown)}")
        with whole(new / name) as temporary:
            onnx.save(proto, temporary)
    write_json(new / DESCRIPTION, description)
    exported = Exported(new)
    arrays = golden_arrays(encoder.inputs)
    answers = exported.run(ENCODE, arrays)
    with torch.inference_mode():
        expected = encoder.eval()(*(torch.from_numpy(arrays[name]) for name in encoder.inputs))
    for name, value in zip(encoder.outputs, expected, strict=True):
        if not np.allclose(answers[name], value, atol=1e-4, rtol=1e-4, equal_nan=True):
            raise RunError(f"{ENCODE}: {name} of the golden sources is not what torch gives")
    days = np.linspace(0, 60, 7, dtype=np.float32) + np.zeros((len(arrays["mjd"]), 1), np.float32)
    asked = {"fingerprint": answers["fingerprint"], "days": days, "band": np.int64(days) % len(BANDS)}
    golden = {f"in_{name}": value for name, value in arrays.items()}
    golden |= {f"out_{name}": value for name, value in answers.items()}
    golden |= {"in_days": days, "in_query_band": asked["band"]}
    golden |= {f"out_{name}": value for name, value in exported.run(DECODE, asked).items()}
    if encoder.packs:
        golden["out_from_code"] = exported.from_code(answers["code"])
    np.savez_compressed(new / "golden.npz", **golden)
    write_json(new / "golden.json", {name: _plain(value) for name, value in golden.items() if name != "in_stamps"})
    (new / "README.md").write_text(_page(description), encoding="utf-8")
    refuse_old(out)
    put_in_place(new, out)
    return out


def _write(graph: torch.nn.Module, path: Path) -> None:
    """One ONNX file of a graph, any number of sources and detections."""
    graph = graph.eval()
    example = {**golden_arrays(FromArrays.everything), **_queries(graph)}
    arrays = tuple(torch.from_numpy(example[name]) for name in graph.inputs)
    batch, axes = torch.export.Dim("batch", min=1), {}
    shapes = []
    for name, array in zip(graph.inputs, arrays):
        shape = {0: batch}
        if array.ndim > 1 and name not in _FIXED:
            axis = _SIZES.get(name, _AXES[1])
            shape[1] = axes.setdefault(axis, torch.export.Dim(axis, min=1))
        shapes.append(shape)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            graph, arrays, str(path), dynamo=True, opset_version=OPSET, external_data=False, verbose=False,
            input_names=list(graph.inputs), output_names=list(graph.outputs),
            dynamic_shapes=({"arrays": tuple(shapes)} if isinstance(graph, FromArrays) else tuple(shapes)),
        )  # fmt: skip
