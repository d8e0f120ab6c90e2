"""Append and ask: the only module that opens the database. Values in, values out."""

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import Session, bindparam, col, delete, insert, select

from orchestrator.artifact.manifest import Manifest
from orchestrator.catalog.reading import Measurement, Reading
from orchestrator.inventory.facts import Facts
from orchestrator.ledger.engine import alive, connected
from orchestrator.ledger.readings import measurement_row, newest, smoke_reading
from orchestrator.ledger.schema import LedgerDamaged, ready
from orchestrator.ledger.tables import EntryRow, FactsRow, ManifestRow, MeasurementRow, RunRow
from orchestrator.rollout.drift import Expected
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.rollout.plan import Plan
from orchestrator.values import Value, canonical, sha256

_PROVED = (Status.SUCCEEDED.value, Status.ALREADY_CURRENT.value)


class Run(Value):
    """One plan carried out, as the ledger remembers it."""

    id: str
    plan: str
    intent: str
    target: str
    playbook: str
    began_at: datetime
    ended_at: datetime | None
    verdict: str | None
    because: str


class Entry(Value):
    """One outcome with its time and the run it belongs to."""

    seq: int
    run: str
    intent: str
    at: datetime
    outcome: Outcome


class Ledger:
    """The memory of one site. Appends are flushed before they return; nothing is ever changed."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self._engine = connected(file)
        self._writer = self._engine.execution_options(first_to_write=True)
        ready(self._writer, file)

    def begin(self, plan: Plan) -> str:
        """Open a run for a plan and keep its manifests; returns the run's id."""
        now = _now()
        began = f"{now:%Y%m%d-%H%M%S}"
        with Session(self._writer) as session:
            taken = session.exec(select(RunRow.id).where(col(RunRow.id).startswith(began))).all()
            run = f"{began}-{plan.id[:6]}" + (f"-{len(taken) + 1}" if taken else "")
            session.add(
                RunRow(
                    id=run,
                    plan=plan.id,
                    intent=plan.intent.value,
                    target=plan.target,
                    playbook=plan.playbook.name,
                    pid=os.getpid(),
                    began_at=now.isoformat(),
                )
            )
            for manifest in plan.manifests:
                session.merge(_manifest_row(manifest, now))
            session.commit()
        return run

    def append(self, run: str, outcome: Outcome, profile: str) -> None:
        """Write one outcome down; it is on the disk when this returns."""
        self.append_all(run, [(outcome, profile)])

    def append_all(self, run: str, outcomes: Iterable[tuple[Outcome, str]]) -> None:
        """Write outcomes down, each with its device's profile; on the disk when this returns."""
        newest = select(EntryRow.chain).order_by(col(EntryRow.seq).desc()).limit(1)
        with Session(self._writer) as session:
            last = session.exec(newest).first() or ""
            for outcome, profile in outcomes:
                row = _entry_row(run, outcome, profile)
                last = row.chain = _link(last, row)
                session.add(row)
            session.commit()

    def end(self, run: str, verdict: str, because: str = "") -> None:
        """Close a run."""
        with Session(self._writer) as session:
            row = session.get_one(RunRow, run)
            row.ended_at, row.verdict, row.because = _now().isoformat(), verdict, because
            session.add(row)
            session.commit()

    def close_dead_runs(self) -> tuple[str, ...]:
        """Mark runs whose controller is gone as interrupted; returns their ids."""
        with Session(self._writer) as session:
            rows = session.exec(select(RunRow).where(col(RunRow.ended_at).is_(None))).all()
            dead = [row for row in rows if not alive(row.pid)]
            for row in dead:
                row.ended_at, row.verdict = _now().isoformat(), "interrupted"
                row.because = "the controller went away"
                session.add(row)
            session.commit()
            return tuple(row.id for row in dead)

    def remember(self, facts: Mapping[str, Facts]) -> None:
        """Keep what devices said; the newest answer of each is the one that is kept."""
        if not facts:
            return
        rows = [
            {"device": name, "at": said.observed_at.isoformat(), "body": said.model_dump_json()}
            for name, said in facts.items()
        ]
        same = delete(FactsRow).where(col(FactsRow.device) == bindparam("device"))
        with self._writer.begin() as connection:
            connection.execute(same, [{"device": name} for name in facts])
            connection.execute(insert(FactsRow), rows)

    def facts(self) -> dict[str, Facts]:
        """The last known facts by device name."""
        with Session(self._engine) as session:
            rows = session.exec(select(FactsRow)).all()
            return {row.device: Facts.model_validate_json(row.body) for row in rows}

    def keep(self, manifests: Iterable[Manifest]) -> None:
        """Keep releases' manifests, so that they can be told apart from unknown ones."""
        with Session(self._writer) as session:
            for manifest in manifests:
                session.merge(_manifest_row(manifest, _now()))
            session.commit()

    def manifests(self) -> dict[tuple[str, str], Manifest]:
        """Every release ever planned, by model and release name."""
        with Session(self._engine) as session:
            rows = session.exec(select(ManifestRow)).all()
            return {(r.model, r.release): Manifest.model_validate_json(r.body) for r in rows}

    def expected(self) -> dict[tuple[str, str], Expected]:
        """By device and model: the release last proved there."""
        known = self.manifests()
        with Session(self._engine) as session:
            proved = col(EntryRow.status).in_(_PROVED)
            rows = session.exec(select(EntryRow).where(proved).order_by(col(EntryRow.seq))).all()
        found: dict[tuple[str, str], Expected] = {}
        for row in rows:
            manifest = known.get((row.model, row.release or ""))
            last = found.get((row.device, row.model))
            again = last is not None and last.manifest == manifest
            if again and row.status == Status.ALREADY_CURRENT.value:
                continue  # named, not hashed: that proves nothing new
            if manifest is not None:
                since = datetime.fromisoformat(row.at)
                found[(row.device, row.model)] = Expected(manifest=manifest, since=since)
        return found

    def serving(self) -> tuple[Manifest, ...]:
        """The releases last proved on each device, and those before them: current and previous."""
        known = self.manifests()
        seen: dict[tuple[str, str], list[str]] = {}
        for entry in self.history():
            outcome = entry.outcome
            if outcome.status.value not in _PROVED or outcome.release is None:
                continue
            mine = seen.setdefault((outcome.device, outcome.model), [])
            if outcome.release not in mine and len(mine) < 2:
                mine.append(outcome.release)
        named = {(model, release) for (_, model), mine in seen.items() for release in mine}
        return tuple(known[each] for each in sorted(named) if each in known)

    def measured(self, measurements: Iterable[Measurement]) -> None:
        """Keep what was measured on devices; on the disk when this returns."""
        with Session(self._writer) as session:
            session.add_all(map(measurement_row, measurements))
            session.commit()

    def measurements(self, model: str | None = None) -> tuple[Measurement, ...]:
        """What was measured on devices, newest first."""
        query = select(MeasurementRow).order_by(col(MeasurementRow.seq).desc())
        if model is not None:
            query = query.where(MeasurementRow.model == model)
        with Session(self._engine) as session:
            rows = session.exec(query).all()
            return tuple(Measurement.model_validate_json(row.body) for row in rows)

    def readings(self) -> dict[str, tuple[Reading, ...]]:
        """What variants are chosen by, by the digest of the model file: the newest of each class."""
        known, said = self.manifests(), self.facts()
        with Session(self._engine) as session:
            rows = session.exec(select(EntryRow).order_by(col(EntryRow.seq))).all()
            proved = [smoke_reading(row, known, said) for row in rows]
        profiled = [(each.sha256, each.reading) for each in reversed(self.measurements())]
        return newest([*(each for each in proved if each), *profiled])

    def rates(self) -> dict[str, float]:
        """By device: what its line carried when that was last measured, in bytes per second."""
        found: dict[str, float] = {}
        for entry in self.history():
            if (rate := entry.outcome.bytes_per_s) is not None:
                found.setdefault(entry.outcome.device, rate)
        return found

    def history(self, device: str | None = None, limit: int | None = None) -> tuple[Entry, ...]:
        """Outcomes, newest first."""
        query = select(EntryRow, RunRow).join(RunRow).order_by(col(EntryRow.seq).desc())
        if device is not None:
            query = query.where(EntryRow.device == device)
        with Session(self._engine) as session:
            rows = session.exec(query.limit(limit) if limit else query).all()
            return tuple(_entry(row, run) for row, run in rows)

    def runs(self, limit: int | None = None) -> tuple[Run, ...]:
        """Runs, newest first."""
        query = select(RunRow).order_by(col(RunRow.began_at).desc())
        with Session(self._engine) as session:
            rows = session.exec(query.limit(limit) if limit else query).all()
            return tuple(Run.model_validate(row.model_dump(exclude={"pid"})) for row in rows)

    def verify(self) -> int:
        """Walk the hash chain; returns the number of entries.

        Raises:
            LedgerDamaged: names the first entry that is not what was appended.
        """
        last = ""
        count = 0
        with Session(self._engine) as session:
            for row in session.exec(select(EntryRow).order_by(col(EntryRow.seq))):
                if row.chain != _link(last, row) or not _as_told(row):
                    raise LedgerDamaged(
                        f"{self.file}: entry {row.seq} is not what was appended",
                        hint="restore the ledger from a backup",
                    )
                last = row.chain
                count += 1
        return count


def _entry_row(run: str, outcome: Outcome, profile: str) -> EntryRow:
    return EntryRow(
        run=run,
        at=_now().isoformat(),
        device=outcome.device,
        model=outcome.model,
        profile=profile,
        status=outcome.status.value,
        was=outcome.was,
        release=outcome.release,
        outcome=canonical(outcome).decode(),
        chain="",
    )


def _link(last: str, row: EntryRow) -> str:
    said = (last, row.run, row.at, row.device, row.model, row.profile, row.outcome)
    return sha256(json.dumps(said).encode())


def _as_told(row: EntryRow) -> bool:
    """Whether the columns for searching still say what the chained outcome says."""
    told = json.loads(row.outcome)
    return all(getattr(row, key) == told[key] for key in ("status", "was", "release"))


def _entry(row: EntryRow, run: RunRow) -> Entry:
    return Entry(
        seq=row.seq or 0,
        run=row.run,
        intent=run.intent,
        at=datetime.fromisoformat(row.at),
        outcome=Outcome.model_validate_json(row.outcome),
    )


def _manifest_row(manifest: Manifest, now: datetime) -> ManifestRow:
    return ManifestRow(
        sha256=manifest.sha256,
        release=manifest.release,
        model=manifest.model,
        body=manifest.data.decode(),
        at=now.isoformat(),
    )


def _now() -> datetime:
    return datetime.now(UTC)
