"""What the outputs of a model mean: labels, probabilities, numbers. Nothing here needs torch."""
