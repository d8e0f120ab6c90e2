"""Rows → what variants are chosen by: the newest figures of each class of hardware."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from orchestrator.artifact.manifest import Manifest
from orchestrator.catalog.reading import Means, Measurement, Reading
from orchestrator.inventory.facts import Facts
from orchestrator.ledger.tables import EntryRow, MeasurementRow
from orchestrator.rollout.outcome import Outcome
from orchestrator.values import canonical

Found = tuple[str, Reading]
"""The digest of a model file, and what was measured of it."""


def measurement_row(measurement: Measurement) -> MeasurementRow:
    """A measurement as it is kept; the columns beside its body are for searching."""
    return MeasurementRow(
        at=measurement.at.isoformat(),
        model=measurement.model,
        sha256=measurement.sha256,
        fingerprint=measurement.fingerprint,
        runtime=measurement.runtime,
        body=canonical(measurement).decode(),
    )


def smoke_reading(
    row: EntryRow, known: Mapping[tuple[str, str], Manifest], said: Mapping[str, Facts]
) -> Found | None:
    """What a smoke test measured; None where there was none, it failed, or its release is unknown."""
    outcome = Outcome.model_validate_json(row.outcome)
    manifest = known.get((outcome.model, outcome.release or ""))
    smoke, fingerprint = outcome.smoke, outcome.fingerprint
    if manifest is None or smoke is None or not smoke.passed or not fingerprint:
        return None
    if smoke.p50_ms is None:
        return None
    facts = said.get(outcome.device)
    return manifest.model_file.sha256, Reading(
        means=Means.SMOKE,
        fingerprint=fingerprint,
        profile=row.profile,
        emulated=bool(facts and facts.emulated),
        at=datetime.fromisoformat(row.at),
        p50_ms=smoke.p50_ms,
        p95_ms=smoke.p95_ms,
        rss_mib=smoke.rss_mib,
    )


def newest(found: Iterable[Found]) -> dict[str, tuple[Reading, ...]]:
    """By model file: the last reading of each class by each means. `found` is oldest first."""
    last = {(sha256, r.means, r.fingerprint): r for sha256, r in found}
    readings: dict[str, tuple[Reading, ...]] = {}
    for (sha256, _, _), reading in sorted(last.items(), key=lambda each: each[0]):
        readings[sha256] = (*readings.get(sha256, ()), reading)
    return readings
