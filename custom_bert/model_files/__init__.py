"""Model directories, published checkpoints, and the tables of tensor names of Hugging Face's families."""
