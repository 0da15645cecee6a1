"""A model as ONNX graphs, in a folder that any language can run.

encode.onnx      plain arrays to fingerprints, with all preprocessing inside
decode.onnx      fingerprints, days and bands to magnitudes
from_code.onnx   codes to the fingerprints they stand for, where the model has codes of whole bytes
model.json       what the arrays are, the classes, the view, the space
golden.npz, golden.json   inputs and outputs of 16 sources, to check a port with; README.md says how
"""

import contextlib
import io
import logging
import warnings
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rtf import __version__
from rtf.alerts.surveys import Survey
from rtf.classes import FINE
from rtf.documents import write_text
from rtf.encoding.exported import DECODE, DESCRIPTION, ENCODE, FROM_CODE, answers, session
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.encoding.fingerprints import RunError
from rtf.encoding.graph import FromArrays, FromCode, FromFingerprint
from rtf.features.stamps import KINDS
from rtf.files import whole, write_json
from rtf.jobs import put_in_place, refuse_old, remove

OPSET = 18
#: Axes of any length, by array: all arrays have a batch first.
_LENGTH = {
    **dict.fromkeys(("mjd", "band", "mag", "magerr", "mask", "metadata"), "detections"),
    **dict.fromkeys(("limit_mjd", "limit_band", "limit_mag"), "limits"),
    **dict.fromkeys(("days", "query_band"), "queries"),
}
#: Operators that ONNX Runtime has for CUDA at this opset, by the types they take: float, double, int64, bool,
#: uint8, or any. Facts of docs/OperatorKernels.md of ONNX Runtime; another operator falls back to the CPU.
_BY_TYPES = {
    "fdibu": """Cast Concat Constant ConstantOfShape Expand Flatten Gather GatherElements Identity
        Reshape ScatterElements ScatterND Shape Slice Split Squeeze Transpose Unsqueeze""",
    "fdiu": "Where",
    "fdib": "Equal GatherND",
    "fdi": """Abs Add Clip CumSum Div Greater GreaterOrEqual Less LessOrEqual Max Min Mul Neg Pow Range
        ReduceMax ReduceMin ReduceSum Sign Sub Tile TopK""",
    "fd": """Ceil Conv Cos Erf Exp Floor Gemm IsNaN LayerNormalization Log MatMul Reciprocal ReduceMean
        Relu Sin Softmax Softplus Sqrt""",
    "b": "And Not Or",
}
ON_CUDA = {name: types for types, names in _BY_TYPES.items() for name in names.split()}


def export(model: Fingerprinter, out: str | Path, about: dict | None = None) -> Path:
    """Write the folder `out`, whole or not at all.

    Parameters
    ----------
    about : further facts for model.json, such as the name of the run

    Raises
    ------
    RunError : `out` holds something else, the model cannot be exported (`rtf.encoding.graph.refuse`), a graph
        has an operator that ONNX Runtime lacks on CUDA, or its answers to the golden sources are not torch's
    """
    out = Path(out)
    encoder = FromArrays(model)
    description = (about or {}) | describe(model, encoder)
    arrays = golden_arrays(encoder.inputs, model.survey)
    queries = golden_queries(len(arrays["mjd"]), model.config.latent_dim, len(model.survey.bands))
    graphs = {ENCODE: (encoder, arrays), DECODE: (FromFingerprint(model), queries)}
    if encoder.packs:
        graphs[FROM_CODE] = FromCode(model), {"code": golden_codes(len(arrays["mjd"]), len(encoder.sizes))}
    if out.exists() and not (out / DESCRIPTION).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} is there and is no export: it will not be replaced; choose another name")
    refuse_old(out)
    new = out.with_name(f"{out.name}.new")
    remove(new)
    golden = {}
    for name, (graph, example) in graphs.items():
        write_graph(graph.eval(), example, new / name, description)
        found = answers(session(new / name), example)
        with torch.inference_mode():
            expected = graph(*(torch.from_numpy(example[key]) for key in graph.inputs))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for key, value in zip(graph.outputs, expected, strict=True):
            if not np.allclose(found[key], value, atol=1e-4, rtol=1e-4):
                raise RunError(f"{name}: {key} of the golden sources is not what torch gives")
        stem = Path(name).stem
        golden |= {f"{stem}.in.{key}": value for key, value in example.items()}
        golden |= {f"{stem}.out.{key}": value for key, value in found.items()}
    np.savez_compressed(new / "golden.npz", **golden)
    write_json(new / "golden.json", {k: _plain(v) for k, v in golden.items() if not k.endswith(".stamps")})
    write_json(new / DESCRIPTION, description)
    write_text(new / "README.md", resources.files("rtf.encoding").joinpath("exported.md").read_text("utf-8"))
    put_in_place(new, out)
    return out


def describe(model: Fingerprinter, encoder: FromArrays) -> dict:
    """What model.json says."""
    head = model.model.head
    return {
        "rtf": __version__,
        "opset": OPSET,
        "space": model.space,
        "inputs": encoder.inputs,
        "outputs": encoder.outputs,
        "survey": model.survey.name,
        "bands": list(model.survey.bands),
        "metadata": list(model.survey.metadata_fields) if "metadata" in encoder.inputs else [],
        "classes": list(FINE[: head[-1].out_features]) if head is not None else [],
        "fingerprint": model.config.latent_dim,
        "code_bytes": len(encoder.sizes) if encoder.packs else 0,
        "view": encoder.view,
    }


def write_graph(graph: nn.Module, example: dict[str, np.ndarray], path: Path, description: dict) -> None:
    """One ONNX file: any number of sources, detections, non-detections and queries; all weights inside.

    Raises
    ------
    RunError : an operator that ONNX Runtime lacks on CUDA
    """
    import onnx

    axes = {name: torch.export.Dim(name, min=1) for name in ("sources", *dict.fromkeys(_LENGTH.values()))}
    shapes = []
    for name in graph.inputs:
        name = "query_band" if name == "band" and "days" in graph.inputs else name
        shapes.append({0: axes["sources"]} | ({1: axes[_LENGTH[name]]} if name in _LENGTH else {}))
    arrays = tuple(torch.from_numpy(example[name]) for name in graph.inputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), whole(path) as temporary:
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph, arrays, str(temporary), dynamo=True, opset_version=OPSET, external_data=False,
            input_names=list(graph.inputs), output_names=list(graph.outputs),
            dynamic_shapes=(tuple(shapes),) if isinstance(graph, FromArrays) else tuple(shapes),
        )  # fmt: skip
        proto = onnx.load(temporary)
        if lacking := without_cuda(proto):
            raise RunError(f"{path.name}: ONNX Runtime has no CUDA kernel for {', '.join(lacking)}")
        onnx.helper.set_model_props(proto, {key: str(value) for key, value in description.items()})
        proto.producer_name, proto.producer_version = "rtf", __version__
        onnx.save(proto, temporary)


def without_cuda(proto) -> list[str]:
    """Operators of an ONNX model, with the type they take, that ONNX Runtime lacks on CUDA."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(proto).graph
    letter = {"FLOAT": "f", "DOUBLE": "d", "INT64": "i", "BOOL": "b", "UINT8": "u", "FLOAT16": "f", "": "i"}
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
    types |= {value.name: value.data_type for value in graph.initializer}
    lacking = {f.name for f in proto.functions}
    for node in graph.node:
        # the type of Where is that of what it chooses from
        taken = node.input[1:2] if node.op_type == "Where" else node.input[:1]
        kind = "".join(onnx.TensorProto.DataType.Name(types.get(name, 0)) for name in taken)
        known = ON_CUDA.get(node.op_type, "")
        if letter.get(kind, "?") not in known:
            lacking.add(f"{node.op_type} of {kind.lower()}")
    return sorted(lacking)


def golden_arrays(inputs: list[str], survey: Survey, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of 16 made-up sources of 1 to 300 detections, of which modalities are missing here and there."""
    rng = np.random.default_rng(seed)
    lengths = [1, 2, 3, 5, 8, 13, 20, 30, 40, 60, 90, 150, 257, 258, 300, 4]
    size, most, limits = len(lengths), max(lengths), 12
    mask = np.arange(most) < np.array(lengths)[:, None]
    mjd = 59000 + np.sort(rng.uniform(0, 40 + 20 * np.arange(size)[:, None], (size, most)), 1)
    mjd[-1, :4] = 59000 + np.array([0, 500, 501.5, 1200])  # stray detections years before
    found = {
        "mjd": np.where(mask, mjd, 0.0),
        "band": rng.integers(0, len(survey.bands), (size, most)),
        "mag": np.float32(rng.uniform(16, 20.5, (size, most))),
        "magerr": np.float32(rng.uniform(0.02, 0.25, (size, most))),
        "mask": mask,
        "limit_mjd": mjd[:, :1] + rng.uniform(-40, 60, (size, limits)),
        "limit_band": rng.integers(0, len(survey.bands), (size, limits)),
        "limit_mag": np.float32(rng.uniform(19, 21, (size, limits))),
        "metadata": np.float32(rng.lognormal(0, 2, (size, most, len(survey.metadata_fields)))),
        "stamps": np.float32(200 + 10 * rng.normal(size=(size, len(KINDS), *[survey.stamp_size] * 2))),
    }
    if "wavelength" in survey.metadata_fields:
        shift = np.float32(rng.normal(1, 0.02, (size, most)))
        of_band = np.float32(survey.wavelength)[found["band"]]
        found["metadata"][..., survey.metadata_fields.index("wavelength")] = shift * of_band
    found["limit_mjd"][::4] = np.nan
    found["limit_mag"][::4] = np.nan
    found["metadata"][rng.random(found["metadata"].shape) < 0.3] = np.nan
    found["metadata"][::5] = np.nan
    found["stamps"][:, :, 28:35, 28:35] += 500
    found["stamps"][1, :, 48:] = np.nan  # at a chip edge
    found["stamps"][::3] = np.nan
    return {name: found[name] for name in inputs}


def golden_queries(size: int, latent_dim: int, n_bands: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Made-up fingerprints, and seven days and bands to ask each for."""
    rng = np.random.default_rng(seed)
    days = np.float32(np.linspace(0, 90, 7)) + np.zeros((size, 1), np.float32)
    return {
        "fingerprint": np.float32(rng.normal(size=(size, latent_dim))),
        "days": days,
        "band": np.int64(days) % n_bands,
    }


def golden_codes(size: int, n_bytes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, n_bytes), dtype=np.uint8)


def _plain(values: np.ndarray) -> list:
    """Nested lists for JSON: NaN as null, float32 with the nine digits that tell them apart."""
    short = (lambda v: float(f"{v:.9g}")) if values.dtype == np.float32 else (lambda v: v)
    flat = [None if v != v else short(v) for v in values.ravel().tolist()]
    return np.array(flat, object).reshape(values.shape).tolist()
