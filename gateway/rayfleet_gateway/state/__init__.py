"""What changes while the gateway runs: its table, by watches or files, and its endpoints. Edge."""
