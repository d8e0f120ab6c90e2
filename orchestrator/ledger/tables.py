"""The tables. A column says its unit in its name; times are UTC, ISO 8601, as text."""

from sqlmodel import Field, SQLModel


class RunRow(SQLModel, table=True):
    """One plan carried out."""

    __tablename__ = "run"

    id: str = Field(primary_key=True)
    plan: str = Field(index=True)
    intent: str
    target: str
    playbook: str
    pid: int
    began_at: str
    ended_at: str | None = None
    verdict: str | None = None
    because: str = ""


class EntryRow(SQLModel, table=True):
    """One outcome of one device; chained by hashes, so that a changed row shows."""

    __tablename__ = "entry"

    seq: int | None = Field(default=None, primary_key=True)
    run: str = Field(foreign_key="run.id", index=True)
    at: str
    device: str = Field(index=True)
    model: str = Field(index=True)
    profile: str
    status: str
    was: str | None = None
    release: str | None = None
    outcome: str
    chain: str


class ManifestRow(SQLModel, table=True):
    """Every release that was ever planned."""

    __tablename__ = "manifest"

    sha256: str = Field(primary_key=True)
    release: str = Field(index=True)
    model: str = Field(index=True)
    body: str
    at: str


class FactsRow(SQLModel, table=True):
    """What a device last said."""

    __tablename__ = "facts"

    device: str = Field(primary_key=True)
    at: str
    body: str


class MeasurementRow(SQLModel, table=True):
    """What one variant took on one device; not chained: it can be measured again."""

    __tablename__ = "measurement"

    seq: int | None = Field(default=None, primary_key=True)
    at: str
    model: str = Field(index=True)
    sha256: str = Field(index=True)
    fingerprint: str = Field(index=True)
    runtime: str
    body: str
