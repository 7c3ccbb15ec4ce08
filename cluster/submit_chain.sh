#!/bin/sh
# Queue several jobs at once, each to start when the one before it ended unfinished: for queues whose nodes may not
# submit. From the login node, with the variables of submit.pbs in front and more options of qsub behind:
#
#     RUN_NAME=places EPOCHS=90 sh cluster/submit_chain.sh 3
#     MODEL=resnet50 sh cluster/submit_chain.sh 5 -l walltime=08:00:00
#
# When the run is finished the jobs that are left end at once, or the queue drops them; when two jobs in a row get no
# further, the next one stops the chain and says so.
set -eu
cd "$(dirname "$0")/.."
say() { echo "submit_chain.sh: $*" >&2; }

links=${1:-}
case $links in '' | *[!0-9]* | 0) say "how many jobs? For example: sh cluster/submit_chain.sh 3"; exit 2 ;; esac
shift
for option in "$@"; do
    case $option in -v*) say "set variables in front instead: NAME=value sh cluster/submit_chain.sh $links"; exit 2 ;; esac
done

CHAIN=$(date +%Y%m%d-%H%M%S)-$$
export CHAIN
given=CHAIN                     # names only, so that no value has to be quoted
for name in $(sed -n 's/^as_flags="\(.*\)"$/\1/p; s/^variables="$as_flags \(.*\)"$/\1/p' submit.pbs); do
    eval "value=\${$name:-}"
    if [ -n "$value" ]; then export "${name?}"; given=$given,$name; fi
done

jobs=
job=
while [ "$links" -gt 0 ]; do
    if ! job=$(qsub ${job:+-W "depend=afternotok:$job"} "$@" -v "$given" submit.pbs 2>&1); then
        say "qsub refused: $job"
        if [ -n "$jobs" ]; then say "already queued:$jobs"; fi
        exit 1
    fi
    jobs="$jobs $job"
    links=$((links - 1))
done
echo "queued:$jobs"
echo "to stop them all: qdel$jobs"
