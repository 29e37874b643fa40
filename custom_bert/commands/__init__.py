"""The commands of custom-bert, each a class: its fields are its options, its `run` imports what it needs."""
