"""The process and the machine: what a program needs before it knows of images or networks.

atomic       Files that are never half written: written beside, flushed to the disk where they are state, and renamed
console      What a run says: to the console as it is, to its log file with times
device       What this machine grants and how a run uses it
distributed  The processes that torchrun started as one training: which rank this is, collectives, and work that rank 0 does for all
download     Downloads: whole or not at all, with an error within seconds where there is no network
errors       The user's mistakes, each told in one line: what was given, what was expected, what to do
extras       Optional libraries: which extra of the package brings them, and the one line that says so
faults       Faults of the machine that one line can explain: memory that ran out, a GPU that is gone, a disk that is full
format       Numbers for people: the one place that turns them into text
launch       Which of torchrun's processes this is, read from the environment
lock         One process at a time holds a run's name, on all machines that share the file system
rng          Every random number of a run, as a pure function of the seed and of what it is for
run_files    What a run leaves behind, and where; and in what state it is, for job scripts
scheduler    The one place that knows PBS and Slurm: which job this is, what it is granted, whether another one is over
signals      Signals of the user and the scheduler, as a wish to stop
status       status.json, which job scripts read
walltime     How much time is left: --max_time, what the scheduler grants, and when the whole run will be done
"""
