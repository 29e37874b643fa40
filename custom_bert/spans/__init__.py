"""Spans of texts: entities with their places and types, from files to scores. Nothing here needs torch."""
