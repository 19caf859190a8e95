"""A report in a real browser: headless Chromium opens the page, narrow and wide, light and dark.

No error may be thrown and nothing refused by the content policy; nothing may stick out sideways; the
slider has to move the figures and the marker, the choice of a label the curve, and a link into folded
pictures has to unfold them. A script added to a copy of the page does it all and leaves its findings
in the document around it, which Chromium prints.

    usage: test_browser.py report.html
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import browser  # noqa: E402 (it lies a folder above)

PAGE = pathlib.Path(sys.argv.pop())

PROBE = """
const text = (id) => document.getElementById(id).value;
const at = (id) => document.getElementById(id).getAttribute("cx");
const look = () => ({at: text("at"), precision: text("precision"), recall: text("recall"),
  x: at("mark-precision"), curve: document.querySelector("#curve-precision path").getAttribute("d")});
const found = {problems, width: innerWidth};
const slide = document.getElementById("slide"), choice = document.getElementById("label");
found.before = look();
slide.value = 80; slide.dispatchEvent(new Event("input"));
found.moved = look();
choice.selectedIndex = 2; choice.dispatchEvent(new Event("change"));
found.chosen = look();
slide.value = 100; slide.dispatchEvent(new Event("input"));
found.silent = text("precision");
document.querySelector("svg .pt").dispatchEvent(new MouseEvent("pointerover", {bubbles: true}));
document.querySelector("#trials ~ figure .pt").dispatchEvent(new MouseEvent("click", {bubbles: true}));
found.readout = document.getElementById("readout").textContent;
location.hash = document.querySelector("svg a[href^='#c']").getAttribute("href");
dispatchEvent(new HashChangeEvent("hashchange"));
found.unfolded = document.querySelector("details" + location.hash).open;
for (const d of document.querySelectorAll("details")) d.open = true;
found.scroll_width = document.documentElement.scrollWidth;
found.pictures = [...document.querySelectorAll(".picture")]
  .filter((p) => getComputedStyle(p).backgroundImage.startsWith("url(\\"data:image/png")).length;
found.ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
found.colour = getComputedStyle(document.body).backgroundColor;
report(found);
"""


def findings(width, dark=False):
    """What the page's own script found at a window of that width."""
    found, console = browser.find(PAGE, PROBE, width, dark)
    return {**found, "console": console}


@unittest.skipIf(browser.CHROMIUM is None, "no Chromium")
class Browser(unittest.TestCase):
    def assert_sound(self, found, width):
        self.assertEqual(found["problems"], [])
        self.assertEqual(found["console"], [])
        self.assertEqual(found["width"], width)
        self.assertLessEqual(found["scroll_width"], width)
        self.assertEqual(len(found["ids"]), len(set(found["ids"])), "an id occurs twice")

    def test_narrow(self):
        self.assert_sound(findings(375), 375)

    def test_wide(self):
        found = findings(1600)
        self.assert_sound(found, 1600)
        self.assertGreater(found["pictures"], 10)
        self.assertTrue(found["unfolded"])
        self.assertTrue(found["readout"].startswith("Trial "), found["readout"])

    def test_threshold(self):
        found = findings(1000)
        before, moved, chosen = found["before"], found["moved"], found["chosen"]
        self.assertEqual((before["at"], before["precision"], before["recall"]),
                         ("0.50", "65.00 %", "55.00 %"))
        self.assertEqual((moved["at"], moved["precision"], moved["recall"]),
                         ("0.80", "74.00 %", "28.00 %"))
        self.assertGreater(float(moved["x"]), float(before["x"]))
        self.assertEqual(moved["curve"], before["curve"])
        self.assertEqual((chosen["precision"], chosen["recall"]), ("78.00 %", "24.00 %"))
        self.assertNotEqual(chosen["curve"], moved["curve"])
        self.assertEqual(found["silent"], "nothing is said")

    def test_dark(self):
        light, dark = findings(800), findings(800, dark=True)
        self.assert_sound(dark, 800)
        self.assertNotEqual(light["colour"], dark["colour"])


if __name__ == "__main__":
    if browser.CHROMIUM is None:
        print(browser.WHY_SKIPPED)
    unittest.main()
