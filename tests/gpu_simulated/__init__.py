"""Tests on a simulated GPU, which need none."""
