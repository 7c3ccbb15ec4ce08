#!/bin/sh
# Makes the pictures of the manual, docs/pictures/*.webp, from today's program: sh docs/make_pictures.sh [MODEL]
# Needs Chromium (Debian: apt install chromium); takes a few minutes. MODEL: of the runs, by default efficientnet_lite0.
set -eu
cd "$(dirname "$0")/.."
project=$(pwd)
model=${1:-efficientnet_lite0}
python=${PYTHON:-$project/.venv/bin/python}
[ -x "$python" ] || python=python3
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "make_pictures.sh: no Chromium; install it (Debian: apt install chromium)" >&2
    exit 2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="$project" PYTHONDONTWRITEBYTECODE=1

# images: drawn by the generator of the tests, so that no download is needed
"$python" - "$work/input" <<'PYTHON'
import sys
from pathlib import Path

sys.path.insert(0, "tests")
import scenes

folder = Path(sys.argv[1])
scenes.write_places(folder / "places", {"train": 24, "val": 8, "test": 20}, seed=5)
scenes.write_perception_set(folder / "streets", n=400, size=96, seed=5)
PYTHON

cd "$work"
run() { "$python" -m deep_cnn "$@" --model="$model" --root_dir="$work" --seed=0; }
run --run_name=places --data_dir=input/places --epochs=6 --batch_size=16
run --run_name=places_probe --data_dir=input/places --recipe=probe --batch_size=16
run --run_name=streets --data_dir=input/streets/images --metadata=input/streets/scores.csv --target=score,greenery --unit=points,share \
    --epochs=6 --batch_size=16
"$python" -m deep_cnn compare --runs=places,places_probe --baseline=places_probe --root_dir="$work"

# page, picture, width, height, colour scheme (0: dark, 1: light). A window has at least 500 pixels, so a phone is a frame in one.
take() {
    printf '<body style="margin:0"><iframe src="%s" style="width:%spx;height:%spx;border:0">' "file://$1" "$3" "$4" >"$work/frame.html"
    "$chromium" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files --user-data-dir="$work/profile" \
        --blink-settings=preferredColorScheme="$5" --window-size=1400,"$(($4 + 200))" --screenshot="$work/$2.png" "file://$work/frame.html" 2>/dev/null
    "$python" - "$work/$2.png" "$project/docs/pictures/$2.webp" "$3" "$4" <<'PYTHON'
import sys

from PIL import Image

source, target, width, height = sys.argv[1:]
Image.open(source).convert("RGB").crop((0, 0, int(width), int(height))).save(target, quality=80, method=6)
print(target)
PYTHON
}
mkdir -p "$project/docs/pictures"
results=$work/outputs/results
take "$results/places/report.html" report 1100 860 1
take "$results/streets/report.html" report_dark 1100 860 0
take "$results/places/report.html" report_phone 390 844 1
take "$work/outputs/compare/report.html" compare 1100 760 1
