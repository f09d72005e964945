# What the tests of the program share; sourced by them with PROGRAM SOURCE_DIR [SANITIZERS].
# They run in an empty folder and see no models or settings but those of the tests.
set -muo pipefail  # -m: background jobs listen to SIGINT

program=$1
data=$2/tests/data
sanitizers=${3-}
here=$(mktemp -d)
export GESSO_MODELS=$data/models XDG_CONFIG_HOME=$here/config XDG_DATA_HOME=$here/data
export GESSO_THREADS=1
export PYTHONPATH=$2/tests/cli PYTHONDONTWRITEBYTECODE=1  # png.py
mounted=()
trap 'for m in "${mounted[@]}"; do umount "$m"; done; rm -rf "$here"' EXIT
mkdir "$here/work"
cd "$here/work" || exit 1
failures=0

Fail() {
  printf 'FAILED: %s\n' "$*"
  failures=$((failures + 1))
}

# Expect CODE PATTERN ARGUMENTS...: exit code and regular expression in stderr.
Expect() {
  local code=$1 pattern=$2
  shift 2
  "$program" "$@" >"$here/stdout" 2>"$here/stderr"
  local status=$?
  local shown said
  shown=$(printf '%.80s ' "$@")
  said=$(tail -c 400 "$here/stderr")
  ((status == code)) || Fail "exit code $status, not $code: gesso $shown: $said"
  [[ -z $pattern ]] || tr '\n' ' ' <"$here/stderr" | grep -qE -- "$pattern" ||
    Fail "no '$pattern' in the message of: gesso $shown: $said"
}

# Png PATH WIDTH HEIGHT SPLIT: a grey picture, black left of column SPLIT and white from there on.
Png() { python3 - "$@" <<'PYTHON'
import sys, png
path, width, height, split = sys.argv[1], *map(int, sys.argv[2:])
png.write(path, width, height, png.GREY, [bytes(split) + b"\xff" * (width - split)] * height)
PYTHON
}
