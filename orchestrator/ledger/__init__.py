"""What did happen: runs and outcomes, facts and manifests, in SQLite; rows never leave this room."""
