#!/bin/bash
# What one card does, from a bare checkout, within 8 minutes: experiments/gpu.sh [OUT.md]
# PYTHON names an interpreter that has the package's dependencies; nothing is installed and nothing downloaded.
# On a machine without a card: DEVICE=cpu SOURCES=200 experiments/gpu.sh, to see that it runs.
set -eu
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD HYDRA_FULL_ERROR=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PYTHON=${PYTHON:-python3}
"$PYTHON" experiments/gpu.py "$work" --device "${DEVICE:-cuda}" --sources "${SOURCES:-6000}" | tee "${1:-/dev/null}"
