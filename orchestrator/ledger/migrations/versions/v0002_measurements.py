"""What variants take on devices."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of measurements."""
    op.create_table(
        "measurement",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False, index=True),
        sa.Column("sha256", sa.String, nullable=False, index=True),
        sa.Column("fingerprint", sa.String, nullable=False, index=True),
        sa.Column("runtime", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
    )
