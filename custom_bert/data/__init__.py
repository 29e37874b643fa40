"""Reads text files, checks them, turns them into tokens, and builds batches from these."""
