"""The order of the layers, read from every #include line and every ns_module() of the tree.

    base <- data, budget, results <- nn (base, data) <- search <- report <- serve <- cli

A file includes our headers by their path from the root, and only those of its own folder or of a
layer below. A third-party header is included only where OWNERS says, so that a new version of a
library is the work of one file or folder. Tests and benchmarks stand outside the order.
"""

import pathlib
import re

BELOW = {
    "base": [],
    "data": ["base"],
    "budget": ["base"],
    "results": ["base"],
    "nn": ["base", "data"],
    "search": ["base", "data", "budget", "results", "nn"],
    "report": ["base", "data", "budget", "results", "nn", "search"],
    "serve": ["base", "data", "budget", "results", "nn", "search", "report"],
    "cli": ["base", "data", "budget", "results", "nn", "search", "report", "serve"],
}

# (third-party header, the files that may include it)
OWNERS = [
    (r"(cjson/)?cJSON\.h", r"base/json\.c"),
    (r"openssl/.*", r"base/hash\.c"),
    (r"(png|jpeglib|jerror|csv|zlib|archive|archive_entry)\.h", r"data/.*"),
    (r"sqlite3(ext)?\.h", r"results/.*"),
    (r"(oneapi/dnnl/)?dnnl.*\.h(pp)?", r"nn/[a-z0-9_]*dnnl[a-z0-9_]*\.[ch]"),
    (r"protobuf-c/.*|.*\.pb-c\.h", r"nn/.*onnx.*"),
    (r"librsvg/.*|cairo.*\.h", r"report/plot_png\.c"),
    (r"microhttpd\.h", r"serve/.*"),
    (r"argp\.h", r"cli/.*"),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
MODULE = re.compile(r"ns_module\((\w+)([^)]*)\)")


def include_problems(path, text):
    """What is wrong with the includes of the file `path` ("nn/graph.c")."""
    layer = path.split("/")[0]
    for bracket, header in INCLUDE.findall(text):
        for pattern, place in OWNERS:
            if re.fullmatch(pattern, header) and not re.fullmatch(place, path):
                yield f"{path}: includes {header}, which is for {place} alone"
        folder = header.split("/")[0]
        is_generated = header.endswith(".pb-c.h")
        if bracket == '"' and folder not in BELOW and not is_generated:
            yield f'{path}: includes "{header}": name our headers by their path from the root'
        if bracket == '"' and folder in BELOW and folder != layer and folder not in BELOW[layer]:
            yield f"{path}: includes {header}, but {layer}/ may not use {folder}/"


def link_problems(path, text):
    """What is wrong with the DEPENDS of the modules declared in the CMake file `path`."""
    for name, body in MODULE.findall(text):
        words = body.split()
        depends = words[words.index("DEPENDS") + 1 :] if "DEPENDS" in words else []
        for module in depends:
            if module in ("FILES", "LIBS"):
                break
            if module not in BELOW.get(name, []):
                yield f"{path}: links ns_{name} with ns_{module}, which it may not use"


def name_problems(paths):
    """File names that occur twice."""
    seen = {}
    for path in paths:
        name = path.split("/")[-1]
        if name in seen:
            yield f"{path}: there is also {seen[name]}; file names are unique in the tree"
        seen[name] = path


def problems(root):
    """All violations in the tree under the folder `root`, as sentences."""
    found = []
    paths = []
    for layer in BELOW:
        for file in sorted(pathlib.Path(root, layer).rglob("*")):
            path = file.relative_to(root).as_posix()
            if file.suffix in (".c", ".h"):
                paths.append(path)
                found += include_problems(path, file.read_text(encoding="utf-8"))
            elif file.name == "CMakeLists.txt":
                found += link_problems(path, file.read_text(encoding="utf-8"))
    if not paths:
        found.append(f"{root}: no C files in any layer")
    return found + list(name_problems(paths))
