"""``python -m seglib``: the same as the command ``seglib``."""

import sys

from seglib.cli import main

sys.exit(main())
