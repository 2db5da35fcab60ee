"""Rows of text as aligned columns. Pure."""

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Return a line for each row, cells three spaces apart; the last column is not padded. No rows give no lines."""
    if not rows:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    padded = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [f"{indent}{line}".rstrip() for line in padded]
