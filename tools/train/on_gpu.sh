#!/usr/bin/env bash
# Trains demo models on one GPU, side by side, and exports them.
#
#   tools/train/on_gpu.sh MINUTES FOLDER JOB...        e.g. 5 assets/models diffusion next_scale
#
# Jobs: diffusion, tokenizer, next_scale, video, dim, music, detector, clip. next_scale needs the
# tokenizer, so begin with tokenizer alone where there is none. Each goes on from its checkpoint in checkpoints/, else
# from the model in assets/models/ if there is one, and writes the model into FOLDER. Each job draws
# its scenes in some processes of its own; logs are in checkpoints/logs.
set -uo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." || exit 1
minutes=$1 models=$(realpath -m -- "$2") logs=checkpoints/logs
shift 2
mkdir -p "$logs" "$models"

# The option that makes a job go on from model $1's part $2, if there is one.
From() { [[ -e assets/models/$1/$2 ]] && printf -- '--init-from assets/models/%s' "$1"; }

# shellcheck disable=SC2046  # From prints two words or none
diffusion() {
  python3 -m tools.train.train --minutes "$minutes" --drawers 5 $(From demo-hdit denoiser) &&
    python3 -m tools.train.export --folder "$models/demo-hdit"
}
tokenizer() {
  python3 -m tools.train.train_vqvae --minutes "$minutes" --drawers 4 $(From demo-var vae) &&
    python3 -m tools.train.export_var --folder "$models/demo-var" --part vae
}
next_scale() {
  python3 -m tools.train.train_var --minutes "$minutes" --drawers 4 $(From demo-var transformer) &&
    python3 -m tools.train.export_var --folder "$models/demo-var" --part transformer
}
video() {
  python3 -m tools.train.train_bidim --no-compile --minutes "$minutes" --drawers 14 \
    $(From demo-video denoiser) && python3 -m tools.train.export_bidim --folder "$models/demo-video"
}
dim() {
  python3 -m tools.train.train_bidim --config tools/train/dim.json --folder checkpoints/demo-dim \
    --no-compile --minutes "$minutes" --drawers 8 $(From demo-dim denoiser) &&
    python3 -m tools.train.export_bidim --checkpoint checkpoints/demo-dim/checkpoint.pt \
      --folder "$models/demo-dim"
}
music() {
  python3 -m tools.train.train --config tools/train/music.json --folder checkpoints/demo-music \
    --minutes "$minutes" --drawers 10 $(From demo-music denoiser) &&
    python3 -m tools.train.export --checkpoint checkpoints/demo-music/checkpoint.pt \
      --folder "$models/demo-music" --cfg-scale 1.5
}
detector() {
  python3 -m tools.eval.train_detector --minutes "$minutes" --batch 512 --drawers 3 \
    --out "$models/detector/model.safetensors"
}
clip() {
  python3 -m tools.eval.train_clip --minutes "$minutes" --batch 512 --drawers 3 \
    --folder "$models/demo-clip"
}

# The sprites of both sides, drawn once and not by every process that needs them.
python3 -c 'from tools.dataset.things import load_sprites; load_sprites(64); load_sprites(128)'

declare -A started
for job in "$@"; do
  [[ $(type -t "$job") == function ]] || { printf 'no such job: %s\n' "$job" >&2; exit 2; }
  "$job" >"$logs/$job.log" 2>&1 &
  started[$job]=$!
done
status=0
for job in "${!started[@]}"; do
  wait "${started[$job]}" || { status=1; printf '%s failed\n' "$job"; }
  tail -n 3 "$logs/$job.log"
done
exit $status
