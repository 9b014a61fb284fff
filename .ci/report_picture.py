"""Take the picture of the report that the README shows: ``make picture`` writes docs/images/report.png.

The page is that of the demonstration study, opened in Chromium at its first contrast.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

REPOSITORY = Path(__file__).parent.parent
REPORT = REPOSITORY / "demo" / "output" / "report.html"
PICTURE = REPOSITORY / "docs" / "images" / "report.png"
CONTRAST = "FacesScrambled"
WIDTH, HEIGHT = 1180, 648  # the table of contents beside a contrast, down to its first map
MARGIN = 24  # pixels above the heading


def main() -> int:
    """Write the picture; return the exit code."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        sys.stderr.write("There is no Chromium on this machine: apt-get install chromium\n")
        return 1
    if not REPORT.is_file():
        sys.stderr.write(f"There is no {REPORT}: run `make demo` first.\n")
        return 1
    picture = Image.open(io.BytesIO(photograph(executable))).convert("RGB")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    picture.save(PICTURE, optimize=True)
    sys.stdout.write(f"{PICTURE.relative_to(REPOSITORY)}: {PICTURE.stat().st_size / 1000:.0f} kB\n")
    return 0


def photograph(executable: str) -> bytes:
    """Return a PNG of the page at its first contrast, once all pictures in view have been drawn."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.context.set_offline(True)
        page.goto(REPORT.as_uri())
        heading = page.get_by_role("heading", name=CONTRAST, exact=True).last
        for _ in range(2):  # pictures that come into view change the height of the page
            heading.evaluate(f"it => scrollTo(0, it.getBoundingClientRect().top + scrollY - {MARGIN})")
            page.evaluate("Promise.all([...document.images].filter(it => it.complete).map(it => it.decode()))")
            page.wait_for_timeout(500)
        picture = page.screenshot()
        browser.close()
    return picture


if __name__ == "__main__":
    sys.exit(main())
