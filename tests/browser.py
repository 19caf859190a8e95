"""A page in a real browser: headless Chromium opens a copy of it, with a script of the test inside.

The script leaves its findings with `report(value)`; they come back as the value that JSON can say.
Errors that are thrown and what the content policy refuses are collected in `problems` for it.
"""

import html
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WHY_SKIPPED = "SKIPPED: no chromium here; ./setup --dev installs it"

WATCH = """<script>
window.problems = [];
window.report = (value) => parent.postMessage(JSON.stringify(value), "*");
addEventListener("error", (e) => problems.push("error: " + e.message));
addEventListener("securitypolicyviolation", (e) => problems.push("refused: " + e.blockedURI));
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


def find(page, probe, width, dark=False):
    """What `probe`, run when `page` has loaded `width` pixels wide, reports; and the console's lines."""
    script = f'<script>addEventListener("load", () => {{{probe}}});</script>'
    text = page.read_text(encoding="utf-8")
    text = text.replace("<title>", WATCH + "<title>", 1).replace("</body>", script + "</body>", 1)
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "copy.html").write_text(text, encoding="utf-8")
        frame = pathlib.Path(folder, "frame.html")
        frame.write_text(FRAME % width, encoding="utf-8")
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                 "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile",
                 f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom",
                 "--enable-logging=stderr"]
        if dark:
            words.append("--blink-settings=preferredColorScheme=0")
        ran = subprocess.run(words + [frame.as_uri()], capture_output=True, text=True, timeout=120,
                             check=False)
    match = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, re.DOTALL)
    if match is None:
        raise AssertionError("no findings; Chromium said: " + ran.stderr[-2000:])
    console = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(match.group(1))), console
