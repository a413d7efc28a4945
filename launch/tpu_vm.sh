#!/usr/bin/env bash
# A run on a Cloud TPU VM or a pod slice of them: the same command on every worker.
#
#   launch/tpu_vm.sh create                          # the machines (queued, spot)
#   launch/tpu_vm.sh install                         # this working tree and its dependencies
#   launch/tpu_vm.sh run python -m experiments.imagenet --platform tpu --workdir gs://bucket/a
#   launch/tpu_vm.sh resume python -m experiments.imagenet ...   # the same, after preemption
#   launch/tpu_vm.sh status | logs | stop | delete
#
# With --dry-run in front it prints every command and runs none. Settings, from the environment:
NAME=${NAME:-jresnet}
ZONE=${ZONE:-us-central2-b}
TYPE=${TYPE:-v4-32}                       # 16 chips on 4 workers
VERSION=${VERSION:-tpu-ubuntu2204-base}
PROJECT=${PROJECT:-}                      # empty: gcloud's own
SPOT=${SPOT:-1}                           # 0: not preemptible
#
# jax finds the other workers by itself on a pod; nothing is to be said about addresses. The workers
# share no disk, so the workdir is in a bucket (or on Filestore or Lustre, mounted on all of them).
# It must outlive the machines: a spot slice gets SIGTERM before it is taken away, the run saves,
# and `resume` deletes what is left of the slice, makes a new one, and goes on from there.
set -euo pipefail

tpu() {
  local where=(--zone "$ZONE")
  [[ -z $PROJECT ]] || where+=(--project "$PROJECT")
  local command=(gcloud compute tpus "$@" "${where[@]}")
  if [[ -n ${DRY_RUN:-} ]]; then
    printf '%q ' "${command[@]}"
    printf '\n'
  else
    "${command[@]}"
  fi
}

on_all_workers() {
  tpu tpu-vm ssh "$NAME" --worker=all --command "$1"
}

usage() {
  sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

if [[ ${1:-} == --dry-run ]]; then
  export DRY_RUN=1
  shift
fi
action=${1:-}
shift || usage
case $action in
  create)
    spot=()
    [[ $SPOT == 0 ]] || spot=(--spot)
    # Waits in Google's queue until there are machines; `status` shows how it stands.
    tpu queued-resources create "$NAME" --node-id "$NAME" \
      --accelerator-type "$TYPE" --runtime-version "$VERSION" "${spot[@]}"
    ;;
  install)
    # Only what git tracks or would: no runs, no caches, no data.
    archive=$(mktemp -d)
    trap 'rm -rf "$archive"' EXIT
    git ls-files --cached --others --exclude-standard -z |
      tar --create --gzip --null --files-from=- --file "$archive/jresnet.tar.gz"
    tpu tpu-vm scp "$archive/jresnet.tar.gz" "$NAME:jresnet.tar.gz" --worker=all
    on_all_workers "mkdir -p jresnet && tar -xzf jresnet.tar.gz -C jresnet &&
      python3 -m venv jresnet-venv && jresnet-venv/bin/pip install -q -e 'jresnet[tpu,fast,gcs]'"
    ;;
  run)
    [[ $# -gt 0 ]] || usage
    # Detached, so that a lost connection does not end it. It runs again while it fails, and not
    # after status 0 (done, or saved on SIGTERM) and 2 (the command itself is wrong).
    again="for attempt in 1 2 3 4 5; do
      $(printf '%q ' "$@") && exit 0; status=\$?; [ \$status -eq 2 ] && exit 2
      echo \"attempt \$attempt ended with status \$status\"; sleep 10
    done"
    on_all_workers "cd jresnet || exit; PATH=~/jresnet-venv/bin:\$PATH nohup setsid \
      bash -c $(printf %q "$again") > ~/jresnet.log 2>&1 < /dev/null & echo \$! > ~/jresnet.pid"
    ;;
  resume)
    [[ $# -gt 0 ]] || usage
    "$0" delete || true # nothing may be left of it
    "$0" create
    until [[ -n ${DRY_RUN:-} || $("$0" status) == ACTIVE ]]; do sleep "${POLL:-30}"; done
    "$0" install
    "$0" run "$@"
    ;;
  status) tpu queued-resources describe "$NAME" --format "value(state.state)" ;;
  logs) on_all_workers "tail -n ${1:-20} jresnet.log" ;;
  # The whole session that `run` began: the run saves and exits with status 0.
  stop) on_all_workers "pkill -TERM -s \$(cat jresnet.pid) python" ;;
  delete) tpu queued-resources delete "$NAME" --force ;;
  *) usage ;;
esac
