"""Source → the same model with fewer weights, a source itself; what was achieved is counted. In a worker."""

from pathlib import Path

from orchestrator.build.jobs import Prune, Pruned


def prune(job: Prune) -> Pruned:
    """Write the pruned source to ``job.out``: ``.onnx`` for ONNX, ``.keras`` for all of Keras.

    Raises:
        BadSource, BadData: what was handed in cannot be meant.
        Unprunable: the model has nothing to prune, or not in this way.
    """
    if Path(job.source).suffix.lower() == ".onnx":
        from orchestrator.build.prune_onnx import prune_onnx

        return Pruned(sparsity=prune_onnx(job))
    from orchestrator.build.prune_keras import prune_keras

    return Pruned(sparsity=prune_keras(job))
