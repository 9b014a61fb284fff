"""``python -m bids_app.demo FOLDER`` writes the demonstration study."""

from __future__ import annotations

import sys

from bids_app.demo.study import main

if __name__ == "__main__":
    sys.exit(main())
