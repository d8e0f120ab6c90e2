"""Runs, entries, manifests and facts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "run",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("plan", sa.String, nullable=False, index=True),
        sa.Column("intent", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("playbook", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("began_at", sa.String, nullable=False),
        sa.Column("ended_at", sa.String),
        sa.Column("verdict", sa.String),
        sa.Column("because", sa.String, nullable=False),
    )
    op.create_table(
        "entry",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("run", sa.String, sa.ForeignKey("run.id"), nullable=False, index=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("device", sa.String, nullable=False, index=True),
        sa.Column("model", sa.String, nullable=False, index=True),
        sa.Column("profile", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("was", sa.String),
        sa.Column("release", sa.String),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("chain", sa.String, nullable=False),
    )
    op.create_table(
        "manifest",
        sa.Column("sha256", sa.String, primary_key=True),
        sa.Column("release", sa.String, nullable=False, index=True),
        sa.Column("model", sa.String, nullable=False, index=True),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("device", sa.String, primary_key=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
    )
