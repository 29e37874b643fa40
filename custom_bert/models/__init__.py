"""The models: layers, encoder and heads, and how they run over batches without gradients."""
