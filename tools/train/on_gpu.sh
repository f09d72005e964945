#!/usr/bin/env bash
# Trains the demo models of pictures and their judges on one GPU, side by side, and exports them.
#
#   tools/train/on_gpu.sh MINUTES [FOLDER]      FOLDER (assets/models) gets the model folders
#
# Twelve or more CPU cores keep drawing scenes. Goes on from checkpoints/ where there are some.
set -uo pipefail
minutes=$1 models=${2:-assets/models} logs=checkpoints/logs
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && mkdir -p "$logs" || exit 1

Share() { awk -v m="$minutes" -v s="$1" 'BEGIN { print m * s }'; }

# The sprites of both sides, drawn once and not by every process that needs them.
python3 -c 'from tools.dataset.things import load_sprites; load_sprites(64); load_sprites(128)'

Diffusion() {
  python3 -m tools.train.train --minutes "$minutes" --drawers 6 &&
    python3 -m tools.train.export --folder "$models/demo-hdit"
}

NextScale() {
  python3 -m tools.train.train_vqvae --minutes "$(Share 0.33)" --drawers 4 &&
    python3 -m tools.train.train_var --minutes "$(Share 0.6)" --drawers 5 &&
    python3 -m tools.train.export_var --folder "$models/demo-var"
}

Judges() {
  python3 -m tools.eval.train_detector --minutes "$(Share 0.3)" --batch 512 --drawers 3 \
    --out "$models/detector/model.safetensors" &&
    python3 -m tools.eval.train_clip --minutes "$(Share 0.3)" --batch 512 --drawers 3 \
      --folder "$models/demo-clip"
}

status=0
for job in Diffusion NextScale Judges; do
  $job >"$logs/$job.log" 2>&1 &
  jobs_started+=("$!:$job")
done
for started in "${jobs_started[@]}"; do
  wait "${started%%:*}" || { status=1; printf '%s failed:\n' "${started##*:}"; }
  tail -n 4 "$logs/${started##*:}.log"
done
exit $status
