"""The kinds of target that a model can learn, one file each."""
