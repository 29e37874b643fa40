"""A trained model as other tools open it, one file a format."""
