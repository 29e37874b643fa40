"""Makes a command line from classes: options from fields, and help that fits the terminal."""
