#!/usr/bin/env bash
# The released package in an empty environment: sh environment.sh bash tests/package/run.sh      (3 minutes, 6 GB)
#
# Builds sdist and wheel, installs the wheel with the dependencies of the bare install and no extra, and works with it in
# another folder. tests/integration/test_package.py does the same without a network, on the libraries that are there.
#
#     TORCH_INDEX=URL   index to take torch and torchvision from, as for environment.sh
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd -P)
photos=$project/tests/places_test_input
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python -m build --outdir "$work/dist" "$project" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
ls -l "$work/dist"

python -m venv "$work/env"
bin=$work/env/bin
[ -d "$bin" ] || bin=$work/env/Scripts
if [ -n "${TORCH_INDEX:-}" ]; then
    grep -E '^torch(vision)?([^a-z]|$)' "$project/requirements.txt" >"$work/torch.txt"
    "$bin/python" -m pip install --quiet --index-url "$TORCH_INDEX" -r "$work/torch.txt"
fi
"$bin/python" -m pip install --quiet "$work"/dist/*.whl
"$bin/python" -m pip check
"$bin/python" -m pip list
du -sh "$work/env"

unset PYTHONPATH
mkdir "$work/elsewhere"
cd "$work/elsewhere"
"$bin/deep_cnn" -h >help.txt
"$bin/deep_cnn" --epochs=1 --model=cifar_resnet20 --data_dir="$photos"
"$bin/deep_cnn" evaluate
"$bin/deep_cnn" predict --images="$photos/test"
"$bin/deep_cnn" report
"$bin/deep_cnn" compare
head -n 3 predictions.csv
[ "$(wc -l <predictions.csv)" -eq 16 ] && [ -f outputs/results/default/report.html ]
echo "The wheel was installed in an empty environment, and trains and predicts there."
