# shellcheck shell=bash
# Sourced by the launchers: how they run commands, show them instead, and complain.

dry_run=false

# Say on one line what is wrong and how to fix it, and end.
fail() {
  echo "error: $*" >&2
  exit 2
}

say() { echo "$*" >&2; }

# The arguments as a line that a shell reads back as the same arguments.
quoted() {
  local line="" argument
  for argument; do
    [[ $argument =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || argument=${argument@Q}
    line+="$argument "
  done
  echo "${line% }"
}

# Run a command; under --dry_run print it instead.
run() {
  if $dry_run; then quoted "$@"; else "$@"; fi
}

# The value of --NAME among main's arguments, given as --NAME=VALUE or --NAME VALUE.
value_of() {
  local name=$1
  shift
  while (($#)); do
    case $1 in
      "--$name="*) echo "${1#*=}" && return ;;
      "--$name") echo "${2:-}" && return ;;
    esac
    shift
  done
}

# A path with ~ as the home folder, as main reads it: bash leaves --workdir=~/x as it is.
expanded() {
  case $1 in
    [~] | [~]/*) echo "$HOME${1#\~}" ;;
    [~]*) fail "$1: write that user's home folder out" ;;
    *) echo "$1" ;;
  esac
}

# Refuse main's arguments where they cannot be meant.
check_main() {
  local workdir
  workdir=$(value_of workdir "$@")
  [[ -n $(value_of config "$@") ]] || fail "--config is missing among main's arguments: --help shows how"
  [[ -n $workdir ]] || fail "--workdir is missing among main's arguments: --help shows how"
  [[ $workdir != *://* ]] || fail "--workdir=$workdir is not a folder: mount what it names on every machine, and give the mounted folder"
  [[ -z $(value_of distributed "$@") ]] || fail "--distributed is given by this launcher: leave it out"
}

# A number of at least $3, or a complaint about option $1 with value $2.
check_number() {
  [[ $2 =~ ^[0-9]+$ && $2 -ge $3 ]] || fail "--$1=$2 is not a whole number of $3 or more"
}
