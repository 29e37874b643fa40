"""The tasks: what a model can learn to predict, one file for each. `task.py` says what a task supplies."""
