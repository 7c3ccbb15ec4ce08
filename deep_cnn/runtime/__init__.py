"""The process and the machine: what a program needs before it knows of images or networks.

atomic       atomic writes: files, folders, JSON, CSV
console      console, log file, progress bar
device       cores, memory, device, precision, threads
distributed  ranks, collectives, work of rank 0
download     downloads, whole or not at all
errors       kinds of user mistakes, one line each
extras       optional libraries and the extra that brings them
faults       out of memory, lost GPU, full disk in one line
format       numbers for people
launch       torchrun's ranks from the environment; no torch
lock         one process holds a run name
manifest     digests.json: what each file of a run must hold
rng          random numbers by seed and purpose
run_files    where a run's files are
scheduler    PBS and Slurm: job, walltime, array
signals      SIGTERM, SIGINT, SIGUSR1 as a request to stop
status       status.json for job scripts
walltime     time limit and forecast
"""
