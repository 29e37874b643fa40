"""The floor: a linear model on n-grams, which is ready in seconds and which a trained encoder has to beat."""
