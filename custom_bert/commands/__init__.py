"""The commands of custom-bert. Each is a class whose fields are its options.

Its `run` imports what it needs, so that help and messages about options come without loading torch.
"""
