#!/usr/bin/env bash
# The job scripts in a real queue, on the CPU: bash tests/cluster/run.sh      (7 minutes, and what the queue waits)
#
# Without a queue: tests/cluster/queue.sh sets one up on Debian; `CLUSTER=1 bash .ci/run` does so by itself.
#
# A training of 80 seconds is run three times: as one long job; with a walltime of a minute, killed by the scheduler and
# submitted again by itself, on staged data; and as a chain of such jobs that stop on their own clock. The three must
# agree bit for bit. Then an array, and a job that qdel must end for good.
#
#     CLUSTER_WAIT=600   seconds to wait for a job at most; more in a busy queue
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd -P)
cd "$project"
skip() { echo "$1: submit.pbs was not tried in a real queue."; exit 0; }
command -v qsub >/dev/null || skip "No qsub on this machine"
# -Q: about the queues; about an empty list of jobs some systems give an error (153)
qstat -Q >/dev/null 2>&1 || skip "qsub is installed, but no queue answers (qstat -Q fails)"
limit=${CLUSTER_WAIT:-600}

say() { echo "$(date +%T) $*"; }
fail() {
    say "FAILED: $*"
    tail -n 30 "$work"/*.[oe][0-9]* 2>/dev/null || true
    echo "What there is to see is kept in $work"
    exit 1
}

# A folder of its own, below outputs/ since nodes must see it: the real scripts, the project's environment and data.
work=$project/outputs/cluster_test.$$
mkdir -p "$work"
cp submit.pbs "$work"
cp -r cluster "$work/cluster"
cp -r tests/places_test_input "$work/photos"
cat >"$work/environment.sh" <<WRAPPER
# One core: another number of threads changes the last bits, and two nodes may grant another number
core=\$(taskset -cp \$\$ | sed 's/.*: //; s/[,-].*//')
# What tells the program its walltime is hidden from the run that is to be killed by the scheduler
case "\$*" in *--run_name=killed*) PATH=$work/blind:\$PATH ;; esac
exec taskset -c "\$core" sh "$project/environment.sh" "\$@"
WRAPPER
mkdir "$work/blind"
for tool in qstat squeue; do printf '#!/bin/sh\nexit 1\n' >"$work/blind/$tool"; done
chmod +x "$work"/blind/*
sh environment.sh true
cd "$work"

cat >flags.txt <<'FLAGS'
# the training that is run three times
--data_dir=photos --model=resnet18 --weights=none --image_size=64 --batch_size=8 --dropout=0.2 --ema=0.9 --augment=flip,crop
FLAGS
common=FLAGS_FILE=flags.txt,DEVICE=cpu

state() { sed -n 's/.*"state": *"\([a-z]*\)".*/\1/p' "outputs/results/$1/status.json" 2>/dev/null; }
ended() { case $(state "$1") in finished | mistake | failed) ;; *) false ;; esac }
said() { grep -qs -e "$1" ./*.o[0-9]*; }
wait_for() {                                # wait_for WHAT COMMAND...
    local what=$1 begun=$SECONDS
    shift
    until "$@"; do
        [ $((SECONDS - begun)) -lt "$limit" ] || fail "waited $limit s for $what (CLUSTER_WAIT)"
        if [ $(((SECONDS - begun) % 60)) = 59 ]; then say "still waiting for $what: $(qstat 2>/dev/null | tail -n 1)"; fi
        sleep 1
    done
}
finish() {                                  # wait for a run's end, and for the words of its last job
    wait_for "the end of $1" ended "$1"
    [ "$(state "$1")" = finished ] || fail "$1: $(cat "outputs/results/$1/status.json")"
    wait_for "the last job of $1" said "submit.pbs: $1: finished"
    say "$1 finished; $(grep -hs "submit.pbs: $1: stopped" ./*.o[0-9]* | wc -l) times stopped before"
}
stopped_before() { said "submit.pbs: $1: stopped" || fail "$1 was not stopped by its walltime: nothing was tried"; }
same() {                                    # bit for bit: rows, result, weights
    cmp "outputs/results/reference/metrics.csv" "outputs/results/$1/metrics.csv" || fail "$1: other metrics"
    cmp "outputs/results/reference/test.json" "outputs/results/$1/test.json" || fail "$1: another result"
    sh environment.sh python - "$1" <<'PYTHON' || fail "$1: other weights"
import sys

import torch

best, other = (torch.load(f"outputs/models/{run}/best.pt", weights_only=True)["weights"] for run in ("reference", sys.argv[1]))
assert best.keys() == other.keys()
assert all(torch.equal(best[name], other[name]) for name in best), "weights differ"
PYTHON
    say "$1 is bit-identical to the run that was never stopped"
}

say "measuring an epoch, to make the training 80 seconds long"
qsub -l walltime=00:10:00 -v "$common,RUN_NAME=measure,EPOCHS=4" submit.pbs >job
finish measure
grep -q '"augment": "flip,crop"' outputs/results/measure/config.json || fail "a value with a comma was cut"
epochs=$(awk -F, 'NR > 2 { s += $2 + $3; n++ } END { print int(80 * n / s) + 1 }' outputs/results/measure/timing.csv)

say "$epochs epochs in one job"
qsub -l walltime=01:00:00 -v "$common,RUN_NAME=reference,EPOCHS=$epochs" submit.pbs >job
finish reference

# Walltimes are whole minutes, and Slurm's TERM comes up to half a minute late: long enough to be stopped once at least
seconds=$(sed -n 's/.*reference: finished.* after \([0-9]*\) s$/\1/p' ./*.o[0-9]*)
[ "$seconds" -ge 70 ] || fail "the training took only $seconds s"
walltime=00:$(printf %02d $((seconds < 200 ? 1 : seconds / 100))):00

say "the same, killed at a walltime of $walltime that the program is not told of; staged data"
qsub -l walltime="$walltime" -v "$common,RUN_NAME=killed,EPOCHS=$epochs,STAGE=1" submit.pbs >job
finish killed
stopped_before killed
grep -qs "stopped by SIGTERM" ./*.[oe][0-9]* || fail "no job was stopped by the scheduler's signal"
said "submitted again as" || fail "no job submitted itself again"
said "data staged to" || fail "nothing was staged"
same killed

say "the same as a chain of jobs of $walltime, stopped on their own clock"
FLAGS_FILE=flags.txt DEVICE=cpu RUN_NAME=chained EPOCHS=$epochs sh cluster/submit_chain.sh 9 -l walltime="$walltime"
finish chained
stopped_before chained
same chained

say "an array of two lines"
printf -- '%s --epochs=1 --lr=%s\n' "$(tail -n 1 flags.txt)" 1e-3 "$(tail -n 1 flags.txt)" 1e-2 >array.txt
qsub -J 1-2 -v FLAGS_FILE=array.txt,DEVICE=cpu cluster/submit_array.pbs >job
finish array-1
finish array-2

say "a job that is deleted stays deleted"
qsub -l walltime=00:30:00 -v "$common,RUN_NAME=deleted,EPOCHS=$epochs" submit.pbs >job
training() { [ "$(state deleted)" = running ] && [ -s outputs/models/deleted/last.pt ]; }
wait_for "the first checkpoint" training
qdel "$(cat job)"
wait_for "the end of the deleted job" said "stopped long before its walltime, so by qdel"
[ "$(state deleted)" = stopped ] || fail "the deleted job did not save"

cd "$project"
rm -rf "$work"
say "submit.pbs, cluster/submit_chain.sh and cluster/submit_array.pbs: all well in this queue"
