#!/usr/bin/env bash
# See compare.py: --quick, --record, --widths 16,32, --rounds N, --seconds S and more.
exec python3 "$(dirname "$0")/compare.py" train "$@"
