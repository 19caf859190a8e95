"""usage: check_page.py PAGE.html WIDTH...: opens a page in headless Chromium at these widths.

Fails when an error is thrown, something is refused by the content policy, a picture does not load, an
id occurs twice, or the page is wider than its window.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import browser  # noqa: E402 (it lies a folder above)

PROBE = """
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
if (new Set(ids).size < ids.length) problems.push("an id occurs twice");
for (const image of document.images)
  if (image.naturalWidth === 0) problems.push("a picture does not load");
const wide = document.documentElement.scrollWidth;
if (wide > innerWidth) problems.push(`${wide} px in a window of ${innerWidth}`);
report(problems);
"""


def main():
    if browser.CHROMIUM is None:
        print(browser.WHY_SKIPPED)
        return 0
    failed = 0
    for width in map(int, sys.argv[2:]):
        problems, console = browser.find(pathlib.Path(sys.argv[1]), PROBE, width)
        for problem in problems + console:
            print(f"{sys.argv[1]} at {width} px: {problem}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
