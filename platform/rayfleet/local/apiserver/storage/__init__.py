"""What is stored: SQLite on disk, dictionaries in memory, and the history that watches read."""
