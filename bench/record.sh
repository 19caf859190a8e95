#!/usr/bin/env bash
# Measures everything anew on an idle machine and writes RESULTS.md: about 20 minutes, with --quick 6.
# Comparisons without their peer (no torch, no onnxruntime) stop here and leave the rest as it was.
set -eu
here=$(dirname "$0")
"$here/compare_train.sh" --record "$@"
"$here/compare_infer.sh" --record "$@"
"$here/neighbour.sh" --record "$@"
