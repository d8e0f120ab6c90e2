"""What was built: artifacts with their proof, the lock that names them, and the release manifest. Pure."""
