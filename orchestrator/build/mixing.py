"""How sensitive each block is, and the mixture that passes the gate. In a worker."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from orchestrator.artifact.lock import Status
from orchestrator.artifact.mixture import Block, Candidate, Mixture
from orchestrator.build.calibration import calibration_set
from orchestrator.build.deviation import Deviation
from orchestrator.build.goldens import Worthless, golden_cases
from orchestrator.build.jobs import Made, Measure, Mix, Samples, Sense, Sensed
from orchestrator.build.measure import evaluated, runner
from orchestrator.build.mixers import Mixer, Part, mixer
from orchestrator.build.runtimes import Arrays, opened
from orchestrator.build.samples import SampleSet, sample_set
from orchestrator.build.search import by_sensitivity, fewest_kept
from orchestrator.build.verdict import verdict
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.variant import Recipe

SENSED = 20
"""Calibration samples on which sensitivities are found: they rank blocks, and judge nothing."""

NO_DEVIATION_DB = 120.0
"""What stands for a block whose quantization changes nothing, or nothing that float32 can hold."""


def sense(job: Sense) -> Sensed:
    """Quantize each block alone and compare the model's outputs with float32's."""
    parent = Path(job.parent)
    work, samples = _mixer(job.parent, job.recipe, job.samples)
    stateful = _stateful(parent, job.recipe, samples)
    theirs = runner(partial(opened, parent, job.recipe.format), stateful=stateful)
    feeds = [samples.feed(index) for index in samples.spread(SENSED)]
    references = [theirs(feed) for feed in feeds]
    everything = frozenset(range(len(work.parts)))
    file = Path("alone")
    blocks = []
    work.write((), file)
    for index, part in enumerate(work.parts):
        work.write(everything - {index}, file)
        ours = runner(partial(opened, file, job.recipe.format), stateful=stateful)
        blocks.append(_block(part, _snr_db(ours, feeds, references)))
    return Sensed(blocks=tuple(blocks))


def mix(job: Mix) -> Made:
    """Keep float as few of the most sensitive blocks as the gate asks for; write to ``job.out``.

    Where nothing short of float32 passes, the mixture with the most float blocks is written, for
    the gate to reject.
    """
    work, _ = _mixer(job.parent, job.recipe, job.samples)
    order = by_sensitivity([block.snr_db for block in job.blocks])
    judge = _judge(job)
    tried: list[Candidate] = []

    def passes(kept: int) -> bool:
        candidate = Path(f"candidate-{kept}")
        work.write(order[:kept], candidate)
        status, because = judge(candidate)
        tried.append(Candidate(kept=kept, passed=status is Status.ACCEPTED, because=because))
        return status is Status.ACCEPTED

    kept = fewest_kept(len(order), passes)
    chosen = kept if kept is not None else max(each.kept for each in tried)
    Path(f"candidate-{chosen}").replace(job.out)
    stay = frozenset(order[:chosen])
    names = tuple(block.name for index, block in enumerate(job.blocks) if index in stay)
    return Made(mixture=Mixture(blocks=job.blocks, kept=names, tried=tuple(tried)))


def _judge(job: Mix) -> Callable[[Path], tuple[Status, str]]:
    """The gate itself on the evaluation data; sizes are judged when the search is over."""
    parent = Path(job.parent)
    inputs = tuple(each.tensor for each in opened(parent, job.recipe.format).inputs)
    evaluation = sample_set(job.samples, job.samples.evaluation or "", inputs)
    stateful = _stateful(parent, job.recipe, evaluation)

    def judge(candidate: Path) -> tuple[Status, str]:
        asked = Measure(
            artifact=str(candidate),
            reference=job.reference,
            recipe=job.recipe,
            samples=job.samples,
            metric=job.acceptance.metric,
            out="",
        )
        bare = Figures(size_bytes=candidate.stat().st_size)
        fresh = partial(opened, candidate, job.recipe.format)
        figures = evaluated(asked, fresh, evaluation, bare, stateful=stateful)
        return verdict(job.acceptance, figures, reference=False)

    return judge


def _mixer(parent: str, recipe: Recipe, samples: Samples) -> tuple[Mixer, SampleSet]:
    model = Path(parent)
    inputs = tuple(each.tensor for each in opened(model, recipe.format).inputs)
    calibration = calibration_set(samples, inputs)
    return mixer(recipe.format, model, calibration, Path.cwd()), calibration


def _stateful(model: Path, recipe: Recipe, samples: SampleSet) -> bool:
    try:
        fresh = partial(opened, model, recipe.format)
        return golden_cases(fresh, samples, 4, recipe.reference.precision).stateful
    except Worthless:
        return False


def _snr_db(
    ours: Callable[[Arrays], Arrays], feeds: Collection[Arrays], references: Collection[Arrays]
) -> float:
    deviation = Deviation()
    for feed, reference in zip(feeds, references, strict=True):
        deviation.add(ours(feed), reference)
    found = deviation.snr_db
    return NO_DEVIATION_DB if found is None else min(found, NO_DEVIATION_DB)


def _block(part: Part, snr_db: float) -> Block:
    kinds = tuple(dict.fromkeys(each.kind for each in part.operations))
    return Block(name=part.name, operations=kinds, snr_db=snr_db)
