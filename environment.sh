#!/bin/sh
#PBS -N environment
#PBS -l walltime=01:00:00
#PBS -l select=1:ncpus=4:mem=16gb
#PBS -koed
# Make the project's environment once, then run a command in it:
#
#     sh environment.sh                      set up only, and say how to activate
#     sh environment.sh python -m deep_cnn   set up if need be, then run (starts at once the second time)
#     qsub environment.sh                    set up in a batch job
#
# On a cluster where conda answers the environment is a conda one, elsewhere a virtual environment; both lie in .venv.
#     TORCH_INDEX=URL   index to take torch and torchvision from: a CPU-only build, or one for another CUDA
#     PYTHON=python3.12 the Python to build on          CONDA_MODULE=NAME  the module that has conda
set -eu

say() { echo "environment.sh: $*" >&2; }
die() { say "$*"; exit 2; }

# The queue runs a copy of this file from its spool folder: there the project is where the job was submitted.
root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
[ -f "$root/requirements.txt" ] || root=${PBS_O_WORKDIR:-$root}
[ -f "$root/requirements.txt" ] || die "no requirements.txt in $root: call it from the project's folder"
env=$root/.venv
stamp=$env/deep_cnn.stamp       # what is installed, written last
unfinished=$env.unfinished      # there while an environment is made: one found beside it was interrupted half way
lock=$env.lock
export PYTHONNOUSERSITE=1       # packages in ~/.local would shadow those of a conda environment

# Scripts in an environment hold its path, so a project folder that was moved needs a new one.
wanted() { cat "$root/requirements.txt" "$root/pyproject.toml" "$root/setup.py" | cksum; echo "$root"; }
ready() { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted)" ]; }

# ---- one at a time: a folder is made by one process only, also over NFS -----------------------------------------

old() { [ -n "$(find "$1" -prune -mmin +3 2>/dev/null)" ]; }

stale() {                       # its process on this machine is gone, or (another machine's) its heartbeat stopped
    [ -d "$lock" ] || return 1
    old "$lock" && return 0
    read -r host pid <"$lock/owner" 2>/dev/null || return 1
    [ "$host" = "$(uname -n)" ] && ! kill -0 "$pid" 2>/dev/null
}

break_stale() {                 # under a lock of its own, or two that wait would each break the other's new lock
    if mkdir "$lock.break" 2>/dev/null; then
        if stale; then rm -rf "$lock"; fi
        rmdir "$lock.break"
    elif old "$lock.break"; then
        rmdir "$lock.break" 2>/dev/null || :
    fi
}

take_lock() {
    told=
    until mkdir "$lock" 2>/dev/null; do
        if stale; then break_stale; fi
        [ ! -f "$lock" ] || rm -f "$lock"       # a file is no lock: a heartbeat of 0.1.0 could leave one
        # No lock, and none can be made: a full quota, or a folder that may not be written in
        [ -d "$lock" ] || mkdir "$lock.$$" || die "cannot make a folder in $root"
        rmdir "$lock.$$" 2>/dev/null || :
        [ ! -d "$lock" ] || [ -n "$told" ] || say "waiting for another process that is making $env"
        told=yes
        sleep 1
    done
    echo "$(uname -n) $$" >"$lock/owner"
    # -c: the heartbeat may come just after release() removed the folder, and would make a file that nobody removes
    (while kill -0 $$ 2>/dev/null && touch -c "$lock"; do sleep 30; done) >/dev/null 2>&1 &
    heart=$!
    trap release EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

release() {
    kill "$heart" 2>/dev/null || :
    rm -rf "$lock"
    trap - EXIT HUP INT TERM
}

# ---- which Python ------------------------------------------------------------------------------------------------

on_cluster() {
    command -v module >/dev/null 2>&1 || command -v qsub >/dev/null 2>&1 || command -v sbatch >/dev/null 2>&1
}

find_conda() {
    for init in "${MODULESHOME:-}/init/sh" "${LMOD_PKG:-}/init/sh" /etc/profile.d/modules.sh /etc/profile.d/lmod.sh; do
        # `module` is a shell function; a site's own script for it may fail under -eu
        if ! command -v module >/dev/null 2>&1 && [ -r "$init" ]; then set +eu; . "$init"; set -eu; fi
    done
    on_cluster || return 1
    if ! command -v conda >/dev/null 2>&1 && command -v module >/dev/null 2>&1; then
        for name in ${CONDA_MODULE:-miniforge/3 miniforge3 miniforge miniconda3 anaconda3/personal anaconda3}; do
            set +eu; module load "$name" >/dev/null 2>&1; set -eu
            if command -v conda >/dev/null 2>&1; then break; fi
        done
    fi
    for conda in "${CONDA_EXE:-conda}" conda "$HOME/miniforge3/bin/conda" "$HOME/miniconda3/bin/conda"; do
        if "$conda" --version >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

find_python() {
    seen=
    for python in ${PYTHON:-python3 python3.12 python3.13 python3.11 python3.14 python}; do
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        seen="$seen $python is $version;"
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then return 0; fi
    done
    return 1
}

create() {
    : >"$unfinished"
    rm -rf "$env"
    if [ -z "${PYTHON:-}" ] && find_conda; then
        say "making $env with $conda"
        # conda-forge only: the licence of the defaults channel forbids it to many universities
        "$conda" create --yes --quiet --prefix "$env" --override-channels --channel conda-forge python=3.12 pip >&2
        return
    fi
    find_python || die "needs Python 3.11 or newer, found:${seen:- none}. Install one (python.org, or your system's" \
        "packages), load your cluster's module for it, or name it: PYTHON=/path/to/python3.12 sh environment.sh"
    say "making $env with $python (Python $version)"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$env"
    else                        # Debian keeps ensurepip in a package of its own (python3-venv)
        "$python" -m venv --without-pip "$env"
        "$python" -m pip --python "$env" install --quiet pip >&2 ||
            die "$python can make no environment: install its venv package (on Debian and Ubuntu: python3-venv)"
    fi
}

# ---- what goes in ------------------------------------------------------------------------------------------------

activate() {
    bin=$env/bin
    if [ -d "$env/Scripts" ]; then bin=$env/Scripts; fi     # Windows, in Git's shell
    PATH=$bin:$PATH
    export PATH
    unset PYTHONHOME
    if [ -d "$env/conda-meta" ]; then export CONDA_PREFIX="$env"; else export VIRTUAL_ENV="$env"; fi
}

install() {
    index=$env/torch_index      # remembered, so that a changed requirements.txt does not bring the other build
    if [ -z "${TORCH_INDEX:-}" ] && [ -f "$index" ]; then TORCH_INDEX=$(cat "$index"); fi
    if [ -n "${TORCH_INDEX:-}" ]; then
        grep -E '^torch(vision)?([^a-z]|$)' "$root/requirements.txt" >"$env/torch.txt"
        python -m pip install --no-input --index-url "$TORCH_INDEX" -r "$env/torch.txt" >&2 || return
        echo "$TORCH_INDEX" >"$index"
    fi
    # with the extras and what the tests need: a user without them has `pip install .`
    python -m pip install --no-input -e "${root}[all,dev]" >&2 || return
    # A torch and a torchvision that do not belong together are found here, not in a job
    python -c 'import torch, torchvision, deep_cnn'
}

usable() {                      # an environment that was here before is kept, and added to
    [ -d "$env" ] && [ ! -f "$unfinished" ] && { [ ! -f "$stamp" ] || [ "$(tail -n 1 "$stamp")" = "$root" ]; }
}

set_up() {
    usable || create
    activate
    say "installing the package with all extras: several GB the first time, TORCH_INDEX chooses a smaller build"
    install || die "installing failed (see above). Nothing is lost: run the same command again"
    wanted >"$stamp.tmp"
    rm -f "$unfinished"
    mv "$stamp.tmp" "$stamp"
}

case ${1:-} in -h | --help) sed -n '6,15s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

if ! ready; then
    take_lock
    if ! ready; then set_up; fi # not made while this one waited
    release
fi
activate
if [ $# -gt 0 ]; then exec "$@"; fi
if [ -d "$env/conda-meta" ]; then how="conda activate $env"; else how=". $bin/activate"; fi
say "ready. Activate it with:  $how"
say "or run a command in it:   sh environment.sh python -m deep_cnn -h"
