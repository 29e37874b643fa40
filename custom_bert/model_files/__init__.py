"""Model directories and the key tables of Hugging Face families."""
