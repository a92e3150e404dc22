#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=launch/commands.sh
source "$root/launch/commands.sh"

help() {
  cat <<'END'
Run an experiment on all workers of a Cloud TPU, and on a new one after each preemption.

usage
  launch/tpu_pod.sh --name=NAME --zone=ZONE --type=TYPE [OPTIONS] -- MAIN'S ARGUMENTS

options
  --name=NAME        of the TPU VM; made when there is none of that name, or reused
  --zone=ZONE        such as us-east5-a
  --type=TYPE        accelerator type, such as v6e-16
  --version=VERSION  of its software; v2-alpha-tpuv6e
  --project=NAME     gcloud's default when left out
  --spot             cheaper, and may be preempted at any time
  --python=NAME      3.11 or newer, installed on the workers where it is missing; python3.11
  --setup=COMMAND    run on every worker before all else, such as mounting WORKDIR's file system
  --restarts=N       how often a TPU that was lost is made again; 10
  --logs=DIR         where logs and report are copied to; runs/NAME
  --delete           delete the TPU VM in the end, also after an error
  --dry_run          print every command of a first, undisturbed run instead of running it
  --help             this page

example
  launch/tpu_pod.sh --name=mole --zone=us-east5-a --type=v6e-16 --spot --delete \
    --setup='sudo mkdir -p /mnt/runs && mountpoint -q /mnt/runs || sudo mount -o rw 10.0.0.2:/runs /mnt/runs' \
    -- --config=configs/mnist_mlp.py --workdir=/mnt/runs/mnist

WORKDIR has to lie on a file system that all workers mount, and that outlives them: Filestore or
another NFS. gs:// is refused, and gcsfuse will not do: MOLE relies on file locks and on renames
that happen at once.

The files that git tracks are copied as they are now. This script has to keep running: start it in
tmux or on a machine that stays awake. Ctrl-C stops it and the experiment, which saves; the same
command resumes the run. A failure while the TPU is whole ends it, with the logs here.
END
}

name="" zone="" type="" version=v2-alpha-tpuv6e project="" spot="" python=python3.11 setup=""
restarts=10 copies="" delete=""
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --version=*) version=${1#*=} ;;
    --project=*) project=${1#*=} ;;
    --spot) spot=1 ;;
    --python=*) python=${1#*=} ;;
    --setup=*) setup=${1#*=} ;;
    --restarts=*) restarts=${1#*=} && check_number restarts "$restarts" 0 ;;
    --logs=*) copies=$(expanded "${1#*=}") ;;
    --delete) delete=1 ;;
    --dry_run) dry_run=true ;;
    --help | -h) help && exit ;;
    --) shift && break ;;
    *) fail "option $1 is unknown, or -- is missing before main's arguments: --help shows how" ;;
  esac
  shift
done
[[ -n $name ]] || fail "--name is missing: how the TPU VM is called"
[[ -n $zone ]] || fail "--zone is missing: such as us-east5-a"
[[ -n $type ]] || fail "--type is missing: such as v6e-16"
[[ $python =~ ^python3\.[0-9]+$ ]] || fail "--python=$python is not a version such as python3.11"
check_main "$@"
workdir=$(value_of workdir "$@")
[[ $workdir == /* ]] || fail "--workdir=$workdir: give the whole path, which holds on every worker"
copies=${copies:-runs/$name}
$dry_run || command -v gcloud >/dev/null || fail "gcloud is missing: install the Google Cloud CLI"

where=("--zone=$zone")
[[ -z $project ]] || where+=("--project=$project")

tpu() { # verb and arguments
  run gcloud compute tpus tpu-vm "$@" "${where[@]}" --quiet
}

on_all() { # command
  tpu ssh "$name" --worker=all --command="$1"
}

# End what is left of an earlier run; it saves first.
stop() {
  on_all "pkill -TERM -f '[m]ole_jax.main'; for i in \$(seq 120); do pgrep -f '[m]ole_jax.main' >/dev/null || break; sleep 1; done; pkill -KILL -f '[m]ole_jax.main'; true"
}

# READY, CREATING, PREEMPTED, ...; nothing where there is no such TPU.
state() {
  gcloud compute tpus tpu-vm describe "$name" "${where[@]}" '--format=value(state)' 2>/dev/null || true
}

# Have a TPU that is ready: reuse it, wait for it, or make it.
acquire() {
  local found=""
  $dry_run || found=$(state)
  while [[ $found == CREATING || $found == STARTING || $found == RESTARTING || $found == REPAIRING ]]; do
    say "$name is $found"
    sleep 20
    found=$(state)
  done
  if [[ $found == READY ]]; then
    say "$name is there and is reused"
    return
  fi
  [[ -z $found ]] || { say "$name is $found, and made again" && tpu delete "$name"; }
  tpu create "$name" "--accelerator-type=$type" "--version=$version" ${spot:+--spot}
}

# Copy the code, and install what it needs.
prepare() {
  local archive
  if $dry_run; then
    archive=/tmp/mole.tgz
    echo "(cd $(quoted "$root") && git ls-files -z | tar --null --files-from=- --create --gzip --file=$archive)"
  else
    archive=$(mktemp --suffix=.tgz)
    (cd "$root" && git ls-files -z | tar --null --files-from=- --create --gzip --file="$archive")
  fi
  stop || return
  tpu scp "$archive" "$name:mole.tgz" --worker=all || return
  $dry_run || rm -f "$archive"
  [[ -z $setup ]] || on_all "$setup" || return
  on_all "set -e; command -v $python >/dev/null || { sudo apt-get update -qq; sudo apt-get install -y -qq $python $python-venv; }; mkdir -p mole; tar --extract --gzip --file=mole.tgz --directory=mole; cd mole; test -x .venv/bin/python || $python -m venv .venv; .venv/bin/pip install --quiet -r requirements.txt 'jax[tpu]'"
}

# Run the experiment on all workers, each with a log of its own.
work() {
  local logs=$workdir/logs
  on_all "set -o pipefail; mkdir -p $(quoted "$logs") && cd mole && $(quoted .venv/bin/python -u -m mole_jax.main "$@" --distributed=auto) 2>&1 | tee -a $(quoted "$logs")/\$(hostname).log"
}

# Copy logs and report here; that there are none yet is no error.
copy() {
  run mkdir -p "$copies"
  local part
  for part in logs report; do
    tpu scp --recurse "$name:$workdir/$part" "$copies" --worker=0 || say "$workdir/$part was not copied"
  done
}

finish() { # code
  [[ -z $delete ]] || tpu delete "$name" || say "$name could not be deleted: do so, it costs money"
  exit "$1"
}

stopped() { # code
  trap '' INT TERM
  say "stopping"
  stop || true
  say "stopped; the same command resumes the run"
  finish "$1"
}
trap 'stopped 130' INT
trap 'stopped 143' TERM
pause=30
for ((attempt = 0; ; attempt++)); do
  code=0
  { acquire && prepare && work "$@"; } || code=$?
  if ((code == 0)); then
    copy
    finish 0
  fi
  sleep 60 # a preemption takes a while to show
  if [[ $(state) == READY ]]; then
    copy
    say "error: the experiment failed while $name was whole, see $copies/logs; the same command resumes the run"
    finish "$code"
  fi
  ((attempt < restarts)) || { say "error: $name was lost or could not be had $((attempt + 1)) times; the same command resumes the run" && finish "$code"; }
  say "$name is lost or could not be had ($(state)), tried again in $pause s ($((attempt + 1)) of $restarts)"
  sleep "$pause"
  pause=$((pause < 300 ? 2 * pause : 600))
done
