#!/usr/bin/env bash
# A queue of one node for tests/cluster/run.sh: Slurm on this machine alone, behind its wrappers with PBS's names (qsub,
# qstat, qdel). For Debian 12 or later, as root:
#
#     bash tests/cluster/queue.sh install        # the packages, once; none of their services is started
#     bash tests/cluster/queue.sh up             # three daemons, which listen on 127.0.0.1 only
#     . /tmp/deep_cnn_queue/env                  # qsub and the others of this queue
#     bash tests/cluster/run.sh
#     bash tests/cluster/queue.sh down
#
#     QUEUE=/tmp/deep_cnn_queue   its folder: configuration, state, logs. Nothing is written to /etc/slurm
#
# `up` exits 3 where there can be no queue here: no root, no packages and no way to get them.
set -euo pipefail
queue=${QUEUE:-/tmp/deep_cnn_queue}
host=$(hostname -s)
packages=(munge slurmctld slurmd slurm-client slurm-wlm-torque)

say() { echo "queue.sh: $*"; }
cannot() { say "no queue here: $*"; exit 3; }
there() { for tool in munged slurmctld slurmd sbatch qsub qstat qdel; do command -v "$tool" >/dev/null || return 1; done; }

install() {
    if there; then return; fi
    [ "$(id -u)" = 0 ] || cannot "installing Slurm needs root"
    command -v apt-get >/dev/null || cannot "installing Slurm needs apt (Debian)"
    # 101: the packages' scripts may not start their services; an administrator's own policy stays
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod 755 "$policy"; ours=yes; fi
    export DEBIAN_FRONTEND=noninteractive
    { timeout 120 apt-get update -q && timeout 300 apt-get install -qy --no-install-recommends "${packages[@]}"; } \
        >"${TMPDIR:-/tmp}/deep_cnn_queue_install.log" 2>&1 || true
    if [ -n "$ours" ]; then rm -f "$policy"; fi
    there || cannot "apt could not install ${packages[*]}; see ${TMPDIR:-/tmp}/deep_cnn_queue_install.log"
}

# ---- configuration -------------------------------------------------------------------------------------------------

configure() {
    mkdir -p "$queue"/{bin,log,controller,node}
    chmod 755 "$queue"
    [ -e "$queue/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$queue/munge.key")
    # linuxproc and no tasks plugin: no control groups. config_overrides: a node of 4 cores on a machine of 2.
    # KillWait: from SIGTERM to SIGKILL, PBS's default. MinJobAge: qstat still answers about a job that has ended.
    cat >"$queue/slurm.conf" <<CONF
ClusterName=deep_cnn
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$queue/munge.socket
StateSaveLocation=$queue/controller
SlurmdSpoolDir=$queue/node
SlurmctldPidFile=$queue/slurmctld.pid
SlurmdPidFile=$queue/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
JobSubmitPlugins=pbs
PlugStackConfig=$queue/plugstack.conf
TaskProlog=$queue/bin/prolog
Epilog=$queue/bin/epilog
DependencyParameters=kill_invalid_depend
KillWait=10
MinJobAge=3600
MailProg=/bin/true
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=32768 State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=24:00:00 DefaultTime=01:00:00 DefMemPerCPU=512 State=UP
CONF
    echo "required spank_pbs.so" >"$queue/plugstack.conf"

    # What PBS gives to a job and Slurm does not: its folder on the node, the file of its nodes, its number of cores
    cat >"$queue/bin/prolog" <<'PROLOG'
#!/bin/bash
folder=/tmp/deep_cnn_job.$SLURM_JOB_ID
mkdir -p -m 700 "$folder"
scontrol show hostnames "$SLURM_JOB_NODELIST" >"$folder/.nodes"
echo "export TMPDIR=$folder"
echo "export PBS_NODEFILE=$folder/.nodes"
echo "export PBS_ENVIRONMENT=PBS_BATCH"
echo "export NCPUS=$SLURM_CPUS_ON_NODE"
PROLOG
    cat >"$queue/bin/epilog" <<'EPILOG'
#!/bin/sh
rm -rf "/tmp/deep_cnn_job.${SLURM_JOB_ID:?}"
EPILOG

    # The wrapper's qsub, made to do what PBS does: mem= anywhere in its chunk (the wrapper wants it last), a clean
    # environment, a start in $HOME, and output as NAME.oNUMBER in the folder of submission.
    cat >"$queue/bin/qsub" <<'QSUB'
#!/bin/bash
script=${!#}
[ -f "$script" ] || exec /usr/bin/qsub "$@"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
option() { sed -nE "s/^#PBS +-$1 *([^ ]+).*/\1/p" "$script" | head -n 1; }
sed -E '/^#PBS/s/(:mem=[^: ,+]+)((:[^: ,+]+)+)/\2\1/' "$script" >"$copy/${script##*/}"
name=$(option N)
number=%A
if [ -n "$(option J)" ] || [[ " $* " == *" -J "* ]]; then number=%A.%a; fi
output=$PWD/${name:-${script##*/}}
SBATCH_EXPORT=NONE /usr/bin/qsub -wd "$HOME" -o "$output.o$number" -e "$output.e$number" "${@:1:$#-1}" "$copy/${script##*/}"
QSUB
    chmod 755 "$queue"/bin/*
    printf 'export SLURM_CONF=%q PATH=%q:$PATH\n' "$queue/slurm.conf" "$queue/bin" >"$queue/env"
}

# ---- daemons -------------------------------------------------------------------------------------------------------

start() {                                   # start NAME COMMAND...: in the background, its process written down
    local name=$1
    shift
    setsid "$@" >"$queue/log/$name" 2>&1 </dev/null &
    echo "$name $!" >>"$queue/processes"
}
wait_for() {                                # wait_for WHAT COMMAND...
    local what=$1
    shift
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    say "waited a minute for $what; see $queue/log"
    down
    exit 1
}
node_is_up() { case $(sinfo -h -o %T) in idle | mixed | allocated) ;; *) false ;; esac }

is_process() { [ "$(cat "/proc/$2/comm" 2>/dev/null)" = "$1" ]; }      # is_process NAME NUMBER: it is the one that was started
any_runs() {                                # a restart of the machine ends them all and leaves the file
    local name process
    while read -r name process; do if is_process "$name" "$process"; then return; fi; done <"$queue/processes"
    return 1
}

up() {
    if [ -s "$queue/processes" ] && any_runs; then say "it is up already; see $queue/processes"; exit 1; fi
    rm -f "$queue/processes"
    [ "$(id -u)" = 0 ] || cannot "its daemons need root"
    there || cannot "Slurm is not installed; bash tests/cluster/queue.sh install"
    configure
    export SLURM_CONF="$queue/slurm.conf"
    start munged munged -F --force --key-file="$queue/munge.key" --socket="$queue/munge.socket" \
        --pid-file="$queue/munged.pid" --log-file="$queue/log/munged.log" --seed-file="$queue/munge.seed"
    wait_for "munged" munge -n -S "$queue/munge.socket"
    start slurmctld slurmctld -D
    start slurmd slurmd -D -N "$host"
    wait_for "the node" node_is_up
    say "up; to use it: . $queue/env"
}

no_jobs() { [ -z "$(squeue -h -t running,completing)" ]; }

down() {                                    # newest first, and only what still is the process that was started
    [ -s "$queue/processes" ] || return 0
    local name process
    export SLURM_CONF="$queue/slurm.conf"
    timeout 20 scancel --user="$(id -un)" 2>/dev/null || true     # a job must not outlive its queue
    for _ in $(seq 100); do if timeout 20 squeue -h >/dev/null 2>&1 && ! no_jobs; then sleep 0.2; else break; fi; done
    while read -r name process; do
        is_process "$name" "$process" || continue
        kill "$process" 2>/dev/null || continue
        for _ in $(seq 50); do [ -e "/proc/$process" ] || break; sleep 0.2; done
    done < <(tac "$queue/processes")
    : >"$queue/processes"
    say "down"
}

case ${1:-} in install | up | down) "$1" ;; *) sed -n '2,13p' "$0"; exit 2 ;; esac
