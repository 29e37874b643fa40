"""Modules: layers, encoder, heads; and their evaluation."""
