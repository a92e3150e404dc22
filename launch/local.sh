#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=launch/commands.sh
source "$root/launch/commands.sh"

help() {
  cat <<'END'
Several processes on this machine, which work as one: to try what a cluster will run.

usage
  launch/local.sh [--port=PORT] [--dry_run] N MAIN'S ARGUMENTS

  N            how many processes
  --port=PORT  where process 0 listens; a free one when left out
  --dry_run    print the commands instead of running them
  --help       this page

example
  launch/local.sh 2 --config=configs/digits_mlp.py --workdir=runs/digits

Each process writes WORKDIR/logs/process_I.log, and process 0's is shown. When one ends with an
error the others are stopped, within a minute. Ctrl-C and SIGTERM go to all of them; a second one
does not wait. The same command resumes the run. The exit code is that of the first
process that failed.

PYTHON names an interpreter other than .venv/bin/python. Processes use the CPU unless JAX_PLATFORMS
says otherwise.
END
}

# Seconds that the others have to notice by themselves, and then to obey SIGTERM.
grace=5
patience=40

port=""
while [[ ${1:-} == -* ]]; do
  case $1 in
    --port=*) port=${1#*=} && check_number port "$port" 1 ;;
    --dry_run) dry_run=true ;;
    --help | -h) help && exit ;;
    *) fail "option $1 is unknown, or N is missing before main's arguments: --help shows how" ;;
  esac
  shift
done
n=${1:-}
[[ -n $n ]] || fail "N is missing: launch/local.sh N --config=FILE --workdir=FOLDER"
[[ $n =~ ^[1-9][0-9]*$ ]] || fail "N=$n is not a number of processes"
shift
check_main "$@"
logs=$(expanded "$(value_of workdir "$@")")/logs

python=${PYTHON:-$root/.venv/bin/python}
command -v "$python" >/dev/null || fail "$python is missing: run make setup, or name one with PYTHON="
if [[ -z $port ]]; then
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
fi
export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}

command_of() { # process
  command=("$python" -m mole_jax.main "$@" "--distributed=localhost:$port,$n,$process")
  log=$logs/process_$process.log
}

if $dry_run; then
  quoted mkdir -p "$logs"
  for ((process = 0; process < n; process++)); do
    command_of "$@"
    echo "$(quoted env "JAX_PLATFORMS=$JAX_PLATFORMS" "PYTHONPATH=$PYTHONPATH" "${command[@]}") >>$(quoted "$log") 2>&1 &"
  done
  echo wait
  exit
fi

mkdir -p "$logs" || fail "$logs cannot be made: use another --workdir"
# Jobs of their own: otherwise the terminal sends Ctrl-C to them, too, and they would get it twice.
set -m
pids=() codes=() asked=""
tell_all() { # signal
  local i
  for i in "${!pids[@]}"; do
    [[ -n ${codes[i]:-} ]] || kill -s "$1" "${pids[i]}" 2>/dev/null || true
  done
}
trap 'asked=1; tell_all INT' INT
trap 'asked=1; tell_all TERM' TERM HUP
for ((process = 0; process < n; process++)); do
  command_of "$@"
  "${command[@]}" >>"$log" 2>&1 &
  pids+=($!)
  ((process)) || { tail -n 0 -F "$log" 2>/dev/null & viewer=$!; }
done
set +m
say "$n processes at localhost:$port, logs in $logs"

first="" since=0
while ((${#codes[@]} < n)); do
  for i in "${!pids[@]}"; do
    [[ -z ${codes[i]:-} ]] || continue
    ! kill -0 "${pids[i]}" 2>/dev/null || continue
    code=0
    wait "${pids[i]}" || code=$?
    codes[i]=$code
    if ((code)) && [[ -z $first ]]; then
      first=$i since=$SECONDS
      ((${#codes[@]} == n)) || [[ -n $asked ]] || say "process $i ended with code $code, the others are stopped"
    fi
  done
  if [[ -n $first ]]; then
    ((SECONDS - since < grace)) || [[ -n $asked ]] || { asked=1 && tell_all TERM; }
    ((SECONDS - since < grace + patience)) || tell_all KILL
  fi
  sleep 0.2 || true
done
kill "$viewer" 2>/dev/null || true
[[ -n $first ]] || exit 0
say "process $first was the first to fail, with code ${codes[first]}; $logs/process_$first.log ends with"
tail -n 3 "$logs/process_$first.log" | sed 's/^/  /' >&2
exit "${codes[first]}"
