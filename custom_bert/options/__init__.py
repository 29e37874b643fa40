"""Command lines from classes: options are made of fields, argparse sorts the words, help fits a terminal."""
