"""`python -m custom_bert` is `custom-bert`."""

import sys

from custom_bert.cli import main

sys.exit(main())
