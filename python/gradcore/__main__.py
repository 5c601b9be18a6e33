"""``python -m gradcore`` is the command ``gradcore``."""

from __future__ import annotations

import sys

from gradcore.cli import main

sys.exit(main())
