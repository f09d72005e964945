#!/usr/bin/env bash
# Runs the examples of every --help with the models of the source tree: in few steps and frames, and
# but for those with a window or with published weights.
#
#   tests/cli/examples.sh PROGRAM SOURCE_DIR [SANITIZERS]
source "$2/tests/cli/program.sh"
export GESSO_MODELS=$2/assets/models GESSO_REPEATS=1 GESSO_OVERWRITE=true

# The files that the examples name.
Png photo.png 128 128 4
Png hat.png 128 128 64
Png cat.png 64 64 4
printf 'a cat\ntwo blue fish\n' >prompts.txt
cp "$data/midi/pop.mid" song.mid
cp "$data/models/tiny-classes.safetensors" model.safetensors
mkdir -p tests/data
cp "$data/op.ssd.L64.safetensors" tests/data
cp "$data/hdit.text_cross_attention.safetensors" hdit.single_level.safetensors
Expect 0 '' generate x --steps 1 -o photo.jpg

gesso() { "$program" "$@"; }
shortened='s/--steps 50/--steps 2/; s/--frames [0-9]+/--frames 30/; s/ -b 16/ -b 4/'
count=0
least=25
for command in generate inpaint video verify metadata models info bench convert; do
  if [[ $command == video ]] && "$program" video --help | tr -d '\n ' | grep -q 'here:none'; then
    least=20
    continue
  fi
  while read -r example; do
    [[ $example != *var_d36* && $example != *dim_huge* ]] || continue
    count=$((count + 1))
    export GESSO_STEPS=1
    eval "$(sed -E "$shortened" <<<"$example")" >"$here/stdout" 2>"$here/stderr" </dev/null ||
      Fail "exit code $?: $example: $(tail -c 400 "$here/stderr")"
  done < <("$program" $command --help | sed -n '/^Examples:/,$p' | sed -e ':a;/\\$/{N;s/\\\n *//;ba}' |
    grep -E '^  (GESSO[^ ]* )?gesso ')
done
((count >= least)) || Fail "there are but $count examples"

if ((failures > 0)); then
  printf '%d checks failed\n' "$failures"
  exit 1
fi
printf 'all checks passed\n'
