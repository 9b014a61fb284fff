"""``python -m bids_app`` does what ``bids-grouplevel`` does."""

from __future__ import annotations

import sys

from bids_app.cli.analyse import main

if __name__ == "__main__":
    sys.exit(main())
