"""Measurements that a user can repeat: `custom-bert bench`, or `python -m custom_bert.bench`."""
