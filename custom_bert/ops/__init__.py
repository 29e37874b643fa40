"""Attention, rotary positions and losses: functions of tensors."""
