"""Functions of tensors: attention, rotary positions, dropout and losses."""
