"""Does the gate catch bad int8 and let good int8 pass? On EfficientNet-Lite0 and real photographs.

`python benchmarks/build/calibration.py` makes one variant a way of quantizing, good and bad, and judges
each twice: by the checks of calibration data, and (with those switched off) by the acceptance gate on
150 crops of photographs without labels. Prints a table and one JSON line; ends with 1 where a bad one
gets through both, or a good one is held up.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import efficientnet
import numpy as np
import onnx
from onnxruntime import quantization as ort
from onnxruntime.quantization.shape_inference import quant_pre_process

from orchestrator.artifact.lock import Status
from orchestrator.build.calibration import unfit
from orchestrator.build.jobs import Measure, Samples
from orchestrator.build.measure import measure
from orchestrator.build.quantizers import QUANTIZERS
from orchestrator.build.runtimes import OnnxSession
from orchestrator.build.samples import SampleSet, sample_set
from orchestrator.build.verdict import verdict
from orchestrator.catalog.acceptance import Acceptance
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import BUILDABLE, Recipe

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fleet" / "wheels"
INT8 = BUILDABLE["onnx-int8"]


@dataclass(frozen=True, slots=True)
class Case:
    """One way of making int8: which calibration file, which options, and whether it is a good one."""

    name: str
    good: bool
    file: str
    make: Callable[[Path, SampleSet, Path], None]
    recipe: Recipe = INT8


def ours(recipe: Recipe) -> Callable[[Path, SampleSet, Path], None]:
    """As fleet itself makes it."""
    return QUANTIZERS[recipe.format, recipe.precision]


def otherwise(**options: Any) -> Callable[[Path, SampleSet, Path], None]:
    """ONNX Runtime's static quantization with options fleet does not use."""

    def make(model: Path, samples: SampleSet, out: Path) -> None:
        ready = out.with_suffix(".ready")
        quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)

        class Reader(ort.CalibrationDataReader):
            def __init__(self) -> None:
                self.left = map(samples.feed, range(samples.count))

            def get_next(self) -> dict[str, np.ndarray] | None:
                return next(self.left, None)

        types = {"activation_type": ort.QuantType.QUInt8, "weight_type": ort.QuantType.QInt8}
        ort.quantize_static(
            str(ready), str(out), Reader(), **{"per_channel": True} | types | options
        )

    return make


CASES = (
    Case("int8, 100 real crops", True, "real", ours(INT8)),
    Case("int8, 20 real crops", True, "few", ours(INT8)),
    *(
        Case(f"{name}, 100 real crops", True, "real", ours(BUILDABLE[name]), BUILDABLE[name])
        for name in ("onnx-float16", "onnx-int8-symmetric")
        if name in BUILDABLE
    ),
    Case("pixels not normalised", False, "raw", ours(INT8)),
    Case("all zeros", False, "zeros", ours(INT8)),
    Case("normal noise", False, "noise", ours(INT8)),
    Case("uniform noise", False, "uniform", ours(INT8)),
    Case("weights per tensor", False, "real", otherwise(per_channel=False)),
    Case(
        "moving average of ranges",
        False,
        "real",
        otherwise(
            extra_options={"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.05},
        ),
    ),
)


def main() -> None:
    """Make and judge every case."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        onnx.save(efficientnet.model(CACHE), work / "float32.onnx")
        data(work)
        rows = [judged(case, work) for case in CASES]
    print(f"{'int8 made with':<38}{'agree':>7}{'SNR dB':>8}  {'checks':<9}{'gate':<10}right")
    for row in rows:
        print(
            f"{row['case']:<38}{row['agreement']:>7.3f}{row['snr_db']:>8.1f}  "
            f"{row['checks']:<9}{row['gate']:<10}{'yes' if row['right'] else 'NO'}"
        )
    print(json.dumps({"samples": 150, "cases": rows}))
    sys.exit(0 if all(row["right"] for row in rows) else 1)


def data(folder: Path) -> None:
    """Calibration and evaluation files: crops, prepared, and what somebody might hand in instead."""
    crops = efficientnet.crops(CACHE, 250, seed=1).astype(np.float32)
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (MEAN, STD))
    real = (crops / 255 - mean) / std
    random = np.random.default_rng(2)
    shape = real[:100].shape
    files = {
        "evaluation": real[100:],
        "real": real[:100],
        "few": real[:20],
        "raw": crops[:100],
        "zeros": np.zeros(shape, np.float32),
        "noise": random.normal(size=shape).astype(np.float32),
        "uniform": random.random(shape, np.float32),
    }
    for name, x in files.items():
        np.savez(folder / f"{name}.npz", x=x)


MEAN, STD = efficientnet.MEAN, efficientnet.STD


def judged(case: Case, folder: Path) -> dict[str, Any]:
    """Make one, and let checks and gate judge it."""
    samples = Samples(
        folder=str(folder),
        evaluation="evaluation.npz",
        calibration=f"{case.file}.npz",
        cases=8,
        preprocessing=Preprocessing(),
        check=False,
    )
    reference, out = folder / "float32.onnx", folder / "made.onnx"
    inputs = tuple(each.tensor for each in OnnxSession(reference).inputs)
    calibration = sample_set(samples, f"{case.file}.npz", inputs)
    refused = unfit(calibration, sample_set(samples, "evaluation.npz", inputs))
    case.make(reference, calibration, out)
    job = Measure(
        artifact=str(out),
        reference=str(reference),
        recipe=case.recipe,
        samples=samples,
        out=str(folder / "golden.npz"),
    )
    figures = measure(job).figures
    status, because = verdict(Acceptance(), figures, reference=False)
    caught = bool(refused) or status is not Status.ACCEPTED
    return {
        "case": case.name,
        "good": case.good,
        "agreement": figures.agreement,
        "snr_db": figures.snr_db,
        "cosine": figures.cosine,
        "checks": "refused" if refused else "fine",
        "gate": status.value,
        "because": because,
        "right": caught is not case.good,
    }


if __name__ == "__main__":
    main()
