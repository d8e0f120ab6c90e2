"""The ledger remembers every outcome, shows what was altered, and survives company and a kill."""

import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from examples import NOON, digest_of, empty_plan, facts, manifest, measurement, outcome
from sqlalchemy import create_engine
from sqlmodel import SQLModel

from orchestrator.catalog.reading import Condition, Means
from orchestrator.inventory.profile import Runtime
from orchestrator.ledger import schema
from orchestrator.ledger.ledger import Ledger
from orchestrator.ledger.schema import LedgerDamaged, LedgerTooNew, backup, revision
from orchestrator.rollout.outcome import Smoke, Status

V1, V2 = manifest("1.0.0"), manifest("2.0.0")
HERE = str(Path(__file__).parent)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "ledger.db")


def change(ledger: Ledger, statement: str) -> None:
    """What somebody with an SQLite shell would do."""
    with closing(sqlite3.connect(ledger.file)) as db:
        assert db.execute(statement).rowcount == 1
        db.commit()


def filled(ledger: Ledger, count: int = 3) -> str:
    run = ledger.begin(empty_plan(V1))
    for n in range(count):
        ledger.append(run, outcome(f"d{n}", V1), "pi")
    return run


# --- what is remembered -----------------------------------------------------------------------


def test_outcomes_come_back_whole_and_newest_first(ledger):
    run = ledger.begin(empty_plan(V1))
    told = [
        outcome("a", V1),
        outcome("b", V1, status=Status.FAILED_UNCHANGED, because="wrong output", evidence="café"),
    ]

    for each in told:
        ledger.append(run, each, "pi")

    entries = ledger.history()
    assert [entry.outcome for entry in entries] == told[::-1]
    assert [(entry.seq, entry.run, entry.intent) for entry in entries] == [
        (2, run, "deploy"),
        (1, run, "deploy"),
    ]
    assert entries[0].at >= entries[1].at


def test_history_can_be_of_one_device_and_of_the_last_few(ledger):
    filled(ledger, 5)

    assert [entry.outcome.device for entry in ledger.history(limit=2)] == ["d4", "d3"]
    assert [entry.outcome.device for entry in ledger.history("d1")] == ["d1"]
    assert ledger.history("nobody") == ()


def test_a_run_is_open_until_it_ends(ledger):
    run = ledger.begin(empty_plan())
    assert [(each.id, each.ended_at, each.verdict) for each in ledger.runs()] == [(run, None, None)]

    ledger.end(run, "halted", "too many failed")

    (ended,) = ledger.runs()
    assert (ended.verdict, ended.because) == ("halted", "too many failed")
    assert ended.ended_at is not None


def test_two_runs_of_one_plan_in_one_second_are_two(ledger):
    ids = {ledger.begin(empty_plan()) for _ in range(4)}

    assert len(ids) == 4
    assert {run.id for run in ledger.runs()} == ids
    assert len(ledger.runs(limit=3)) == 3


def test_what_is_expected_on_a_device_is_what_was_last_proved_there(ledger):
    run = ledger.begin(empty_plan(V1, V2))
    ledger.append(run, outcome("a", V1), "pi")
    ledger.append(run, outcome("a", V2, status=Status.FAILED_ROLLED_BACK), "pi")
    ledger.append(run, outcome("b", V1), "pi")
    ledger.append(run, outcome("b", V2, status=Status.ALREADY_CURRENT), "pi")
    ledger.append(run, outcome("c", V2, status=Status.DEFERRED), "pi")

    found = ledger.expected()

    assert {key: each.manifest for key, each in found.items()} == {
        ("a", "fashion"): V1,
        ("b", "fashion"): V2,
    }


def test_latencies_are_the_newest_of_each_model_file_on_each_kind_of_hardware(ledger):
    run = ledger.begin(empty_plan(V1, V2))
    for release, ms, where in [(V1, 3.0, "x"), (V1, 4.0, "x"), (V1, 5.0, "y"), (V2, 6.0, "x")]:
        smoke = Smoke(passed=True, p50_ms=ms)
        ledger.append(run, outcome("a", release, smoke=smoke, fingerprint=where), "pi")

    found = {
        sha256: {(r.means, r.fingerprint, r.profile): r.p50_ms for r in readings}
        for sha256, readings in ledger.readings().items()
    }
    assert found == {
        V1.model_file.sha256: {(Means.SMOKE, "x", "pi"): 4.0, (Means.SMOKE, "y", "pi"): 5.0},
        V2.model_file.sha256: {(Means.SMOKE, "x", "pi"): 6.0},
    }


def test_what_failed_its_smoke_test_or_was_not_measured_has_no_latency(ledger):
    run = ledger.begin(empty_plan(V1))
    ledger.append(run, outcome("a", V1, smoke=Smoke(passed=False, p50_ms=1.0)), "pi")
    ledger.append(run, outcome("a", V1, smoke=Smoke(passed=True)), "pi")
    ledger.append(run, outcome("a", V1, smoke=None), "pi")
    ledger.append(run, outcome("a", V1, fingerprint=None), "pi")

    assert ledger.readings() == {}


def test_what_was_measured_comes_back_whole_and_newest_first(ledger):
    hot = Condition(temperature_c=71.5, clock_mhz=1500.0, throttling=("throttled",))
    told = [
        measurement("x", 3.0),
        measurement("x", 2.0, at=NOON + timedelta(days=1), after=hot, value=0.5, metric="top1"),
        measurement("y", 1.0, "onnx-int8", model="other"),
    ]

    ledger.measured(told[:2])
    ledger.measured(told[2:])

    assert Ledger(ledger.file).measurements() == tuple(told[::-1])
    assert ledger.measurements("fashion") == (told[1], told[0])
    assert ledger.readings() == {
        digest_of("tflite-int8"): (told[1].reading,),
        digest_of("onnx-int8"): (told[2].reading,),
    }


def test_a_smoke_test_on_an_emulated_device_says_so(ledger):
    run = ledger.begin(empty_plan(V1))
    ledger.remember({"a": facts(emulated="host x86_64"), "b": facts()})
    for device in ("a", "b"):
        ledger.append(run, outcome(device, V1, fingerprint=device), "pi")

    (readings,) = ledger.readings().values()

    assert {r.fingerprint: r.emulated for r in readings} == {"a": True, "b": False}


def test_a_ledger_of_before_there_were_measurements_is_copied_and_gets_them(ledger, monkeypatch):
    file = ledger.file.with_name("old.db")
    monkeypatch.setattr(schema, "HEAD", "0001")
    filled(Ledger(file))
    monkeypatch.undo()

    migrated = Ledger(file)
    migrated.measured([measurement("x", 3.0)])

    assert (revision(file), migrated.verify()) == (schema.HEAD, 3)
    assert len(migrated.measurements()) == 1
    assert revision(file.with_name("old.db.0001.backup")) == "0001"


def test_the_newest_facts_of_a_device_are_kept(ledger):
    later = facts(Runtime.LITERT, observed_at=NOON + timedelta(hours=1), cores=4)

    ledger.remember({"a": facts(), "b": facts(Runtime.ONNXRUNTIME)})
    ledger.remember({"a": later})

    assert ledger.facts() == {"a": later, "b": facts(Runtime.ONNXRUNTIME)}


def test_releases_are_known_by_model_and_name(ledger):
    other = manifest("1.0.0", name="other")

    ledger.begin(empty_plan(V1))
    ledger.keep([V2, other, V1])

    assert ledger.manifests() == {(m.model, m.release): m for m in (V1, V2, other)}


def test_what_one_process_wrote_another_one_reads(ledger):
    filled(ledger)

    assert Ledger(ledger.file).history() == ledger.history()


# --- the chain --------------------------------------------------------------------------------


def test_an_untouched_ledger_verifies(ledger):
    assert ledger.verify() == 0

    filled(ledger, 7)

    assert ledger.verify() == 7


@pytest.mark.parametrize(
    "statement",
    [
        "update entry set outcome = replace(outcome, 'succeeded', 'deferred') where seq = 2",
        "update entry set device = 'other' where seq = 2",
        "update entry set profile = 'other' where seq = 2",
        "update entry set at = '2020-01-01T00:00:00+00:00' where seq = 2",
        "update entry set chain = 'x' where seq = 2",
        "update entry set status = 'failed-unknown' where seq = 2",
        "update entry set release = 'another' where seq = 2",
        "update entry set was = 'another' where seq = 2",
    ],
)
def test_an_altered_entry_is_found_and_named(ledger, statement):
    filled(ledger)

    change(ledger, statement)

    with pytest.raises(LedgerDamaged) as caught:
        ledger.verify()
    assert caught.value.message == f"{ledger.file}: entry 2 is not what was appended"
    assert caught.value.hint == "restore the ledger from a backup"


@pytest.mark.parametrize(("gone", "named"), [(1, 2), (2, 3)])
def test_a_removed_entry_is_found_at_the_one_after_it(ledger, gone, named):
    filled(ledger)

    change(ledger, f"delete from entry where seq = {gone}")

    with pytest.raises(LedgerDamaged, match=f"entry {named} is not what was appended"):
        ledger.verify()


def test_two_entries_that_change_places_are_found(ledger):
    filled(ledger)
    for old, new in [(1, 99), (2, 1), (99, 2)]:
        change(ledger, f"update entry set seq = {new} where seq = {old}")

    with pytest.raises(LedgerDamaged, match="entry 1 "):
        ledger.verify()


# --- the file ---------------------------------------------------------------------------------


def test_readers_do_not_wait_for_the_writer(ledger):
    filled(ledger)

    with closing(sqlite3.connect(ledger.file)) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
        db.execute("begin immediate")
        assert len(ledger.history()) == 3
        assert ledger.facts() == {}


@pytest.mark.parametrize("folder", ["a b", "what?mode=ro", "100%25", "#1", "café", "a'b"])
def test_a_site_may_lie_in_a_folder_of_any_name(tmp_path, folder):
    file = tmp_path / folder / "ledger.db"

    filled(Ledger(file))

    assert file.is_file()
    assert Ledger(file).verify() == 3


def test_a_ledger_of_a_newer_fleet_is_refused_and_not_touched(ledger):
    filled(ledger)
    change(ledger, "update alembic_version set version_num = '9999'")
    with closing(sqlite3.connect(ledger.file)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    before = ledger.file.read_bytes()

    with pytest.raises(LedgerTooNew) as caught:
        Ledger(ledger.file)

    expected = f"{ledger.file} is at revision 9999, and this fleet knows up to {schema.HEAD}"
    assert (caught.value.message, caught.value.hint) == (
        expected,
        "upgrade fleet, or use another site",
    )
    assert ledger.file.read_bytes() == before
    assert not list(ledger.file.parent.glob("*.backup"))


def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path):
    file = tmp_path / "ledger.db"
    file.write_bytes(b"this was a shopping list, once" * 100)

    with pytest.raises(LedgerDamaged) as caught:
        Ledger(file)

    assert "is not a ledger: file is not a database" in caught.value.message
    assert file.read_bytes() == b"this was a shopping list, once" * 100


def test_a_folder_in_the_ledger_s_place_is_refused(tmp_path):
    (tmp_path / "ledger.db").mkdir()

    with pytest.raises(LedgerDamaged, match="unable to open database file"):
        Ledger(tmp_path / "ledger.db")


def test_an_empty_file_becomes_a_ledger(tmp_path):
    (tmp_path / "ledger.db").touch()

    assert Ledger(tmp_path / "ledger.db").verify() == 0


def test_a_new_ledger_is_at_the_newest_revision(ledger, tmp_path):
    assert revision(ledger.file) == schema.HEAD
    assert revision(tmp_path / "nothing.db") is None


def test_the_newest_revision_is_the_newest_of_the_migrations():
    versions = Path(schema.__file__).parent / "migrations" / "versions"
    modules = []
    for file in sorted(versions.glob("*.py")):
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)

    chain = [(module.revision, module.down_revision) for module in modules]
    assert [before for _, before in chain] == [None, *(revision for revision, _ in chain[:-1])]
    assert chain[-1][0] == schema.HEAD
    assert tuple(revision for revision, _ in chain) == schema._KNOWN


def test_migrations_lead_to_the_tables_the_code_speaks_of(ledger):
    engine = create_engine(f"sqlite:///{ledger.file}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, SQLModel.metadata)
    engine.dispose()

    assert differences == []


def test_a_backup_is_a_ledger_of_its_own(ledger, tmp_path):
    filled(ledger)

    backup(ledger.file, tmp_path / "copy.db")
    filled(ledger)

    assert Ledger(tmp_path / "copy.db").verify() == 3
    assert ledger.verify() == 6


def test_a_backup_can_be_made_while_somebody_writes(ledger, tmp_path):
    filled(ledger)
    with closing(sqlite3.connect(ledger.file)) as db:
        db.execute("begin immediate")
        db.execute("delete from entry")

        backup(ledger.file, tmp_path / "copy.db")

    assert Ledger(tmp_path / "copy.db").verify() == 3


# --- more than one controller -----------------------------------------------------------------

APPEND = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from examples import empty_plan, facts, manifest, outcome
from orchestrator.ledger.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
ledger = Ledger(Path(sys.argv[1]))
run = ledger.begin(empty_plan(manifest()))
for n in range(int(sys.argv[3])):
    ledger.append(run, outcome(f"d{n}", manifest()), "pi")
    ledger.remember({f"d{n}": facts(cores=n + 1)})
    ledger.keep([manifest()])
    ledger.close_dead_runs()
    print(n, flush=True)
ledger.end(run, "done")
"""


def controller(file: Path, count: int) -> subprocess.Popen[bytes]:
    """Another process that opens the ledger and appends, once it is told to go."""
    return subprocess.Popen(
        [sys.executable, "-c", APPEND, str(file), HERE, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def go(*processes: subprocess.Popen[bytes]) -> None:
    """Let them all begin at the same time."""
    assert [process.stdout.readline() for process in processes] == [b"ready\n"] * len(processes)
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()


def test_controllers_that_begin_and_append_at_the_same_time_keep_the_chain_whole(tmp_path):
    file = tmp_path / "ledger.db"
    controllers = [controller(file, 6) for _ in range(2)]

    go(*controllers)
    errors = [each.communicate(timeout=60)[1].decode() for each in controllers]

    assert errors == [""] * 2
    ledger = Ledger(file)
    assert ledger.verify() == 12
    assert [run.verdict for run in ledger.runs()] == ["done"] * 2
    assert len({entry.run for entry in ledger.history()}) == 2


def test_a_killed_controller_leaves_a_ledger_that_verifies_and_a_run_that_is_closed(tmp_path):
    file = tmp_path / "ledger.db"
    process = controller(file, 10_000)
    go(process)
    told = [process.stdout.readline() for _ in range(10)]

    os.kill(process.pid, signal.SIGKILL)
    told += process.communicate(timeout=60)[0].splitlines()

    ledger = Ledger(file)
    assert process.returncode == -signal.SIGKILL
    assert len(told) <= ledger.verify() <= len(told) + 1
    (run,) = ledger.runs()
    assert ledger.close_dead_runs() == (run.id,)
    assert [(each.verdict, each.because) for each in ledger.runs()] == [
        ("interrupted", "the controller went away")
    ]
    assert ledger.close_dead_runs() == ()
    ledger.append(run.id, outcome("later", manifest()), "pi")
    ledger.verify()


def test_a_run_whose_controller_lives_stays_open(ledger):
    ledger.begin(empty_plan())

    assert ledger.close_dead_runs() == ()
    assert ledger.runs()[0].ended_at is None
