#!/usr/bin/env bash
# Measures everything anew on an idle machine and writes RESULTS.md: most of an hour with two versions of
# PyTorch, with --quick half of that.
# Comparisons without their peer (no torch, no onnxruntime) stop here and leave the rest as it was.
set -eu
here=$(dirname "$0")
"$here/compare_train.sh" --record "$@"
"$here/compare_infer.sh" --record "$@"
"$here/neighbour.sh" --record "$@"
