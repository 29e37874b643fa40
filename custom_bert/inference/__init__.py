"""What a trained model is used for: predictions, vectors, evaluation, and exports to other tools."""
