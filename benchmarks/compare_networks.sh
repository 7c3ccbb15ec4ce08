#!/usr/bin/env bash
# Some networks side by side, on a part of CIFAR-10 (class folders train/ and test/).
#     bash benchmarks/compare_networks.sh DATA_DIR [ROOT_DIR]
# Interrupted, the same command goes on. NETWORKS, SEEDS and FLAGS (of each training) may be set. The table and figure of docs/how_to/compare.md are of the
# command as it stands.
set -euo pipefail
data=$(realpath "$1")
root=${2:-.}
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
networks=${NETWORKS:-cifar_vgg11 cifar_resnet20 cifar_preact_resnet18 cifar_densenet_small}
flags=${FLAGS:---recipe=scratch --augment=cifar --subset=15000 --epochs=3 --clip=1}  # cifar_preact_resnet18 diverges without --clip
for seed in ${SEEDS:-0}; do
    for network in $networks; do
        # shellcheck disable=SC2086  # flags are words
        "$python" -m deep_cnn --data_dir="$data" --root_dir="$root" --model="$network" $flags --seed="$seed" \
            --run_name="compare_${network}_$seed"
    done
done
"$python" -m deep_cnn compare --root_dir="$root" --runs='compare_*' --reference
