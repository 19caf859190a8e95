"""The project keeps the order of its layers; and the check sees violations that are planted."""

import pathlib
import sys
import tempfile
import unittest

from layers import problems

ROOT = sys.argv.pop()


class Layers(unittest.TestCase):
    def planted(self, files):
        """Problems of a tree made of `files` (path -> text)."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                file = pathlib.Path(root, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            return problems(root)

    def assert_found(self, path, text, part):
        found = self.planted({path: text})
        self.assertEqual(len(found), 1, found)
        self.assertIn(part, found[0])

    def test_project(self):
        self.assertEqual(problems(ROOT), [])

    def test_what_is_allowed(self):
        self.assertEqual([], self.planted({
            "base/json.c": '#include <cjson/cJSON.h>\n#include "base/base.h"\n',
            "nn/op_dnnl.c": '#include <dnnl.h>\n#include "nn/nn.h"\n#include "data/data.h"\n',
            "search/trial.c": '#include "results/results.h"\n#include <math.h>\n',
            "search/CMakeLists.txt": "ns_module(search FILES a.c DEPENDS base nn LIBS x)\n",
        }))

    def test_upward_include(self):
        self.assert_found("nn/x.c", '#include "search/search.h"\n', "may not use search/")

    def test_sideways_include(self):
        self.assert_found("data/x.c", '  #  include "results/results.h"\n', "may not use results/")

    def test_nn_does_not_know_the_budget(self):
        self.assert_found("nn/x.h", '#include "budget/budget.h"\n', "may not use budget/")

    def test_include_without_folder(self):
        self.assert_found("nn/x.c", '#include "nn.h"\n', "path from the root")

    def test_foreign_headers(self):
        for path, header in [
            ("results/x.c", "cjson/cJSON.h"), ("base/log.c", "openssl/evp.h"),
            ("search/x.c", "sqlite3.h"), ("nn/graph.c", "dnnl.h"),
            ("nn/graph.c", "oneapi/dnnl/dnnl.h"), ("cli/x.c", "png.h"), ("search/x.c", "argp.h"),
            ("nn/exec.c", "protobuf-c/protobuf-c.h"),
        ]:
            self.assert_found(path, f"#include <{header}>\n", header)

    def test_upward_link(self):
        found = self.planted({"nn/CMakeLists.txt":
                              "ns_module(nn\n  FILES a.c\n  DEPENDS base search\n  LIBS x)\n",
                              "nn/a.c": ""})
        self.assertEqual(found,
                         ["nn/CMakeLists.txt: links ns_nn with ns_search, which it may not use"])

    def test_same_name_twice(self):
        found = self.planted({"nn/a.c": "", "data/a.c": ""})
        self.assertEqual(len(found), 1, found)
        self.assertIn("unique", found[0])

    def test_empty_tree(self):
        self.assertEqual(len(self.planted({})), 1)


if __name__ == "__main__":
    unittest.main()
