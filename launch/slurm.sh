#!/usr/bin/env bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=launch/commands.sh
source "$root/launch/commands.sh"

help() {
  cat <<'END'
Submit an experiment to Slurm: one process for each GPU, on one node or many.

usage
  launch/slurm.sh [OPTIONS] -- MAIN'S ARGUMENTS

options
  --nodes=N         nodes; 1 when left out
  --gpus=N          GPUs of each node, and processes; 0: one process a node, on its CPUs. 8
  --cpus=N          CPU cores of each process; 8
  --time=TIME       the limit of one run, as sbatch takes it; 24:00:00
  --partition=NAME  the cluster's default when left out, as of the next two
  --account=NAME
  --qos=NAME
  --name=NAME       of the job; mole
  --grace=SECONDS   from SIGTERM to the end of the time limit, enough to save a training; 180
  --restarts=N      how often the job is queued again: see below; 20
  --setup=COMMAND   run on the first node before everything, such as 'module load cuda'
  --dry_run         print what would be submitted
  --help            this page

example
  launch/slurm.sh --nodes=2 --gpus=8 --time=12:00:00 -- \
    --config=configs/mnist_mlp.py --workdir=/shared/runs/mnist

Run it on a login node, in a checkout with .venv (make setup, then the GPU build of JAX: see
README.md) that all nodes mount. WORKDIR has to lie on such a file system, too. The job writes
WORKDIR/logs/slurm_JOB.log.

A job that is preempted, that reaches its time limit or loses a node is queued again and
resumes; before the limit, and where the cluster grants it before preemption, its processes get
SIGTERM and save. An error of the user's or of the program ends it.

PYTHON names an interpreter other than .venv/bin/python.
END
}

nodes=1 gpus=8 cpus=8 time=24:00:00 partition="" account="" qos="" name=mole grace=180 restarts=20
setup=""
while (($#)); do
  case $1 in
    --nodes=*) nodes=${1#*=} && check_number nodes "$nodes" 1 ;;
    --gpus=*) gpus=${1#*=} && check_number gpus "$gpus" 0 ;;
    --cpus=*) cpus=${1#*=} && check_number cpus "$cpus" 1 ;;
    --time=*) time=${1#*=} ;;
    --partition=*) partition=${1#*=} ;;
    --account=*) account=${1#*=} ;;
    --qos=*) qos=${1#*=} ;;
    --name=*) name=${1#*=} ;;
    --grace=*) grace=${1#*=} && check_number grace "$grace" 1 ;;
    --restarts=*) restarts=${1#*=} && check_number restarts "$restarts" 0 ;;
    --setup=*) setup=${1#*=} ;;
    --dry_run) dry_run=true ;;
    --help | -h) help && exit ;;
    --) shift && break ;;
    *) fail "option $1 is unknown, or -- is missing before main's arguments: --help shows how" ;;
  esac
  shift
done
check_main "$@"
[[ $time =~ ^[0-9:-]+$ ]] || fail "--time=$time is not a time such as 24:00:00 or 2-00:00:00"
[[ $name =~ ^[A-Za-z0-9_.-]+$ ]] || fail "--name=$name: use letters, digits and _ . -"

python=${PYTHON:-$root/.venv/bin/python}
workdir=$(value_of workdir "$@")
[[ $workdir == /* ]] || fail "--workdir=$workdir: give the whole path, which holds on every node"
logs=$workdir/logs
tasks=$((gpus > 0 ? gpus : 1))

job() {
  cat <<END
#!/bin/bash
#SBATCH --job-name=$name
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=$tasks
#SBATCH --cpus-per-task=$cpus
#SBATCH --time=$time
#SBATCH --signal=TERM@$grace
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output="$logs/slurm_%j.log"
END
  ((gpus == 0)) || echo "#SBATCH --gpus-per-node=$gpus"
  [[ -z $partition ]] || echo "#SBATCH --partition=$partition"
  [[ -z $account ]] || echo "#SBATCH --account=$account"
  [[ -z $qos ]] || echo "#SBATCH --qos=$qos"
  echo
  echo "cd $(quoted "$root") || exit 2"
  [[ -z $setup ]] || echo "$setup"
  ((gpus > 0)) || echo "export JAX_PLATFORMS=cpu"
  cat <<END
trap : TERM # the processes have it; this script waits for them
code=0
srun --label --kill-on-bad-exit=1 --wait=60 $(quoted "$python" -u -m mole_jax.main "$@" --distributed=auto) || code=\$?
# 3: lost another process; 134, 137, 139: died; 143: was asked to stop.
case \$code in
  3 | 134 | 137 | 139 | 143)
    if ((\${SLURM_RESTART_COUNT:-0} < $restarts)); then
      echo "code \$code: queued again, and resumes"
      scontrol requeue "\$SLURM_JOB_ID"
    fi
    ;;
esac
exit \$code
END
}

if $dry_run; then
  quoted mkdir -p "$logs"
  echo "sbatch <<'JOB'"
  job "$@"
  echo JOB
  exit
fi
command -v sbatch >/dev/null || fail "sbatch is missing: run this on a login node of a Slurm cluster"
[[ -x $python ]] || fail "$python is missing: run make setup, or name one with PYTHON="
mkdir -p "$logs" || fail "$logs cannot be made: use another --workdir"
job "$@" | sbatch
