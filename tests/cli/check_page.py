"""usage: check_page.py PAGE.html WIDTH...: opens a page in headless Chromium at these widths.

Fails when an error is thrown, something is refused by the content policy, a picture does not load, an
id occurs twice, or the page is wider than its window.
"""

import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

WATCH = """<script>
window.problems = [];
addEventListener("error", (e) => problems.push("error: " + e.message));
addEventListener("securitypolicyviolation", (e) => problems.push("refused: " + e.blockedURI));
</script>"""

PROBE = """<script>
addEventListener("load", () => {
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size < ids.length) problems.push("an id occurs twice");
  for (const image of document.images)
    if (image.naturalWidth === 0) problems.push("a picture does not load");
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) problems.push(`${wide} px in a window of ${innerWidth}`);
  parent.postMessage(JSON.stringify(problems), "*");
});
</script>"""

# A window cannot be as narrow as a telephone, a frame can.
FRAME = """<!DOCTYPE html><body style="margin:0"><script>
addEventListener("message", (event) => {
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = event.data;
  document.body.append(out);
});
</script><iframe src="copy.html" style="border:0;height:900px;width:%dpx"></iframe></body>"""


def problems(page, width):
    text = page.read_text(encoding="utf-8")
    text = text.replace("<title>", WATCH + "<title>", 1).replace("</body>", PROBE + "</body>", 1)
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "copy.html").write_text(text, encoding="utf-8")
        frame = pathlib.Path(folder, "frame.html")
        frame.write_text(FRAME % width, encoding="utf-8")
        ran = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile",
             f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom",
             frame.as_uri()], capture_output=True, text=True, timeout=100, check=False)
    match = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, re.DOTALL)
    if match is None:
        return ["Chromium found nothing out: " + ran.stderr[-2000:]]
    return json.loads(html.unescape(match.group(1)))


def main():
    if CHROMIUM is None:
        print("SKIPPED: no chromium here; ./setup --dev installs it")
        return 0
    failed = 0
    for width in map(int, sys.argv[2:]):
        for problem in problems(pathlib.Path(sys.argv[1]), width):
            print(f"{sys.argv[1]} at {width} px: {problem}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
