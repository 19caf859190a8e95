#!/usr/bin/env bash
# How much of its speed training keeps beside a busy core; see compare.py for the options.
exec python3 "$(dirname "$0")/compare.py" neighbour "$@"
