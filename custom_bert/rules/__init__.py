"""The rules by which a run decides what its user left open, and the record of what was decided."""
