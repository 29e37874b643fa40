"""Writes a trained model in the formats of other tools. One module writes one format."""
