#!/usr/bin/env bash
# A run under Slurm: one process for each GPU, on as many nodes as asked for.
#
#   sbatch --nodes 2 --gpus-per-node 8 --ntasks-per-node 8 launch/slurm.sh \
#     python -m experiments.imagenet --platform gpu --workdir /shared/runs/imagenet
#
# jax reads its place from Slurm's variables and gives task i of a node its GPU i. The workdir must
# be on a file system that all nodes share. For one process with all GPUs of a node say
# --ntasks-per-node 1; for CPU nodes leave the GPUs out.
#
#SBATCH --job-name=jresnet
#SBATCH --output=%x-%j.log
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
# SIGTERM to every task two minutes before the time is up or the job is preempted: the run saves
# and exits with the status that is asked for below.
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: sbatch [options] $0 command of the run" >&2
  exit 2
fi

# A task that fails takes the others with it: they would wait for it in a collective.
status=0
saved=75
srun --kill-on-bad-exit=1 --label "$@" --interrupted-status $saved || status=$?

# 2: the command itself is wrong. 75: more time is needed. Anything else: again, from the newest
# checkpoint, until it has been queued five times.
case $status in
  0 | 2) again=no ;;
  "$saved") again=yes ;;
  *) [[ ${SLURM_RESTART_COUNT:-0} -lt 5 ]] && again=yes || again=no ;;
esac
if [[ $again == yes ]]; then
  echo "status $status: queued again" >&2
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
