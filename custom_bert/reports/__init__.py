"""What people read about a run: tables for the terminal, the page of a run, charts and pictures as SVG."""
