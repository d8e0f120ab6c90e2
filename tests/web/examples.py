"""Locked models of every kind that a page has to show; figures like those that were measured."""

from orchestrator.artifact.bought import Packed
from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.artifact.mixture import Block, Candidate, Mixture
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.pruning import PrunedLayer, Sparsity
from orchestrator.values import sha256

SNR_DB = {"stem": 6.4, "deep": 6.5, "point_1": 76.3, "deep_1": 67.7, "last": 73.2, "scores": 48.8}
MIXTURE = Mixture(
    blocks=tuple(
        Block(name=name, operations=("CONV_2D", "RELU"), snr_db=snr) for name, snr in SNR_DB.items()
    ),
    kept=("stem", "deep"),
    tried=(
        Candidate(kept=0, passed=False, because="accuracy 0.784 is 0.191 below float32's 0.975"),
        Candidate(kept=3, passed=True),
        Candidate(kept=1, passed=False, because="accuracy 0.790 is 0.185 below float32's 0.975"),
        Candidate(kept=2, passed=True),
    ),
)


def artifact(variant: str, figures: Figures | None, **more: object) -> LockedArtifact:
    """An artifact whose digests are made of its name."""
    return LockedArtifact.model_validate(
        {
            "variant": variant,
            "key": sha256(variant.encode()),
            "status": Status.ACCEPTED,
            "format": variant.partition("-")[0],
            "sha256": sha256(variant.encode() + b"!") if figures else None,
            "size_bytes": figures.size_bytes if figures else 0,
            "figures": figures,
            **more,
        }
    )


def a_model(name: str, *artifacts: LockedArtifact) -> LockedModel:
    """A locked model of these artifacts."""
    return LockedModel(
        name=name,
        version="1.0.0",
        source="ab" * 32,
        preprocessing=Preprocessing(),
        artifacts=artifacts,
    )


def measured(
    size: int, p50: float, value: float, low: float | None, high: float | None, **more: object
) -> Figures:
    """Top-1 against float32's 0.9748 on 597 samples; the interval is that of the gain."""
    given: dict[str, object] = {
        "size_bytes": size,
        "p50_ms": p50,
        "p95_ms": round(p50 * 1.25, 4),
        "metric": "top1",
        "value": value,
        "reference": 0.9748,
        "accuracy": value,
        "low": low,
        "high": high,
        "samples": 597,
    }
    return Figures.model_validate({**given, **more})


def labelled() -> LockedModel:
    """Two formats, everything that can become of a variant, a mixed one, close neighbours."""
    slow = "tflite-int8 is 2.8 times as fast (0.0142 ms against 0.0401) and better"
    far = (
        "accuracy 0.784 is 0.191 below float32's 0.975 (95 % interval of the gain "
        "-0.225 to -0.161, limit -0.02)"
    )
    return a_model(
        "depthwise",
        artifact("tflite-float32", measured(28544, 0.0112, 0.9748, None, None)),
        artifact("tflite-float16", measured(15544, 0.0115, 0.9748, -0.0064, 0.0064)),
        artifact(
            "tflite-int8-dynamic",
            measured(15400, 0.0401, 0.9731, -0.0095, 0.0061),
            status=Status.DOMINATED,
            because=slow,
        ),
        artifact(
            "tflite-int8",
            measured(16928, 0.0142, 0.7839, -0.2245, -0.161),
            status=Status.REJECTED,
            because=far,
        ),
        artifact(
            "tflite-mixed",
            measured(17472, 0.0114, 0.9740, -0.0075, 0.0064),
            mixture=MIXTURE,
            because=MIXTURE.words,
        ),
        artifact("onnx-float32", measured(23957, 0.0409, 0.9748, None, None)),
        artifact(
            "onnx-int8", None, status=Status.FAILED, because="the worker died of SIGSEGV: <b>no</b>"
        ),
        artifact(
            "onnx-float16", None, status=Status.UNBUILDABLE, because="its toolchain is not here"
        ),
        artifact("tensorrt-float16", None, status=Status.ON_DEVICE, because="built on a Jetson"),
    )


def unlabelled() -> LockedModel:
    """Evaluation data without labels: what is known is how far outputs are from float32's."""
    alike = {"size_bytes": 1000, "p50_ms": 0.4, "p95_ms": 0.5, "samples": 140}
    far = "unlabelled: its outputs deviate too much from float32's: cosine 0.657 (limit 0.97)"
    return a_model(
        "crops",
        artifact("tflite-float32", Figures(size_bytes=4000, p50_ms=0.9, p95_ms=1.1, samples=140)),
        artifact("tflite-mixed", Figures(**{**alike, "size_bytes": 1400}, cosine=0.991, snr_db=18)),
        artifact(
            "tflite-int8",
            Figures(**alike, cosine=0.657, snr_db=2.1),
            status=Status.REJECTED,
            because=far,
        ),
    )


def unevaluated() -> LockedModel:
    """No evaluation data at all."""
    because = "no evaluation data to judge it by: name some under data.evaluation"
    return a_model(
        "blind",
        artifact("onnx-float32", Figures(size_bytes=4000, p50_ms=0.9, p95_ms=1.1)),
        artifact(
            "onnx-int8",
            Figures(size_bytes=1000, p50_ms=0.4, p95_ms=0.5),
            status=Status.REJECTED,
            because=because,
        ),
    )


def regression() -> LockedModel:
    """A metric of which less is better."""
    error = {"metric": "mse", "reference": 0.02, "samples": 400, "accuracy": None}
    return a_model(
        "thermometer",
        artifact("onnx-float32", measured(9000, 0.03, 0.02, None, None, **error)),
        artifact("onnx-int8", measured(2800, 0.02, 0.0212, -0.002, -0.0004, **error)),
        artifact(
            "onnx-int8-pruned-80",
            measured(2800, 0.02, 0.0219, -0.003, -0.0008, **error),
            sparsity=Sparsity(layers=(PrunedLayer(name="dense", weights=1000, left=200),)),
        ),
    )


def packed(*models: LockedModel) -> dict[str, Packed]:
    """Compressed sizes of everything."""
    every = [a for model in models for a in model.artifacts if a.sha256]
    return {
        a.sha256: Packed(gzip=a.size_bytes * 9 // 10, zstd=a.size_bytes * 8 // 10)
        for a in every
        if a.sha256
    }
