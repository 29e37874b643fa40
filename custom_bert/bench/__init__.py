"""Measurements that users can repeat on their own machine: `custom-bert bench` and `custom-bert probe`."""
