#!/usr/bin/env bash
# Every claim, one after the other, on this machine: about 30 minutes on two idle cores. What is printed goes to the file
# given, or to benchmarks.log. timm's side needs `pip install timm`; the GPU's runs where there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
log=${1:-benchmarks.log}
python=${PYTHON:-python}
: > "$log"
for benchmark in training loading frozen_features evaluation indexing processes; do
    echo "== $benchmark" | tee -a "$log"
    "$python" -m "benchmarks.$benchmark" 2>&1 | tee -a "$log" || echo "$benchmark FAILED" | tee -a "$log"
done
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "== gpu_step" | tee -a "$log"
    "$python" -m benchmarks.gpu_step 2>&1 | tee -a "$log"
fi
