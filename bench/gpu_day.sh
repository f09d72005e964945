#!/usr/bin/env bash
# All that a machine with an NVIDIA GPU can tell about the CUDA side, in one command of under nine
# minutes: tests of ops and parity on the GPU, pictures with and without graphs and with weights in
# few bits, times and shares of the GPU's peaks, PyTorch on the same GPU, compute-sanitizer.
#
#   bench/gpu_day.sh [BUILD] [RESULTS]
#
# BUILD is a build folder with CUDA (made if absent), RESULTS a folder for logs (BUILD/gpu_day).
# GESSO_DAY_DEVICE=cpu does the same on a CPU, which tests this script. GESSO_DAY_SECONDS is the
# time that all steps may take together (520): what does not fit is left out and listed as such.
# GESSO_DAY_PYTHON is a Python with torch; the first of python3 and python that has it if absent.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit
build=${1:-build}
results=${2:-$build/gpu_day}
device=${GESSO_DAY_DEVICE:-cuda}
end=$((SECONDS + ${GESSO_DAY_SECONDS:-520}))
failed=0
mkdir -p "$results"
rm -f "$results"/*.png
: >"$results/summary.txt"

Say() { printf '%s\n' "$*" | tee -a "$results/summary.txt"; }

# Step SECONDS NAME COMMAND...: runs it with a time limit, says how it ended
Step() {
  local limit=$1 name=$2 started=$SECONDS code left=$((end - SECONDS))
  shift 2
  if ((left < 5)); then
    Say "$(printf '%-22s left out: no time' "$name")"
    return
  fi
  timeout "$((limit < left ? limit : left))" "$@" >"$results/$name.log" 2>&1
  code=$?
  ((code == 0)) || failed=1
  Say "$(printf '%-22s exit %3d after %3d s  (%s)' "$name" "$code" $((SECONDS - started)) \
    "$results/$name.log")"
}

# Same NAME FILE FILE: whether two pictures are the same to the byte
Same() {
  local code=0
  if [[ ! -s $2 || ! -s $3 ]]; then
    Say "$(printf '%-22s left out: a picture is missing' "$1")"
    return
  fi
  cmp -- "$2" "$3" >"$results/$1.log" 2>&1 || code=$? failed=1
  Say "$(printf '%-22s %s' "$1" "$( ((code == 0)) && echo "the same bytes" || echo DIFFER)")"
}

FindPython() {
  local python
  for python in ${GESSO_DAY_PYTHON:-python3 python}; do
    "$python" -c 'import torch, numpy, safetensors' 2>/dev/null && echo "$python" && return
  done
}

parts=(gesso gesso_bench_ops gesso_bench_forward kernels_test pipelines_test)
if [[ ! -x $build/cli/gesso || ! -x $build/tests/pipelines_test ]]; then
  Step 60 configure cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGESSO_CUDA=ON
  Step 400 build cmake --build "$build" --target "${parts[@]}"
fi
gesso=$build/cli/gesso
Step 20 devices "$gesso" info --devices

export GESSO_TEST_DEVICE=$device
Step 90 ops "$build/tests/kernels_test" --gtest_brief=1
Step 90 parity "$build/tests/pipelines_test" --gtest_filter='*Parity.*' --gtest_brief=1
unset GESSO_TEST_DEVICE

# Picture NAME OPTION...
Picture() {
  local name=$1
  shift
  Step 30 "$name" "$gesso" generate --device "$device" --seed 1 --overwrite \
    -o "$results/$name.png" "$@"
}
no_graphs=()
[[ $device == cuda ]] && no_graphs=(--no-graphs)
for dtype in float32 bfloat16; do
  for sampler in euler dpmpp_sde; do
    Picture "${sampler}_$dtype" "a red apple and a cat" --dtype "$dtype" \
      --sampling-method "$sampler"
    Picture "${sampler}_${dtype}_plain" "a red apple and a cat" --dtype "$dtype" \
      --sampling-method "$sampler" ${no_graphs[@]+"${no_graphs[@]}"}
    Same "graphs_${sampler}_$dtype" "$results/${sampler}_$dtype.png" \
      "$results/${sampler}_${dtype}_plain.png"
  done
  Picture "var_$dtype" "three green frogs" -m demo-var --dtype "$dtype"
  Step 40 "bench_hdit_$dtype" "$gesso" bench -m demo-hdit --device "$device" --dtype "$dtype"
  Step 40 "bench_plain_$dtype" "$gesso" bench -m demo-hdit --device "$device" --dtype "$dtype" \
    ${no_graphs[@]+"${no_graphs[@]}"}
  Step 40 "bench_video_$dtype" "$gesso" bench -m demo-video --device "$device" --dtype "$dtype"
done
for type in q8 q4 w8a8 w4a8; do
  [[ -d $results/demo-$type ]] ||
    Step 20 "convert_$type" "$gesso" convert demo-hdit "$results/demo-$type" --type "$type"
  Picture "$type" "a red apple and a cat" -m "$results/demo-$type" --dtype bfloat16
  Step 30 "bench_$type" "$gesso" bench -m "$results/demo-$type" --device "$device" \
    --dtype bfloat16
done

if [[ -x $build/bench/gesso_bench_ops ]]; then
  Step 90 bench_ops "$build/bench/gesso_bench_ops" "--device=$device" \
    --benchmark_min_time=0.02 --benchmark_filter='dim_|few/|/qkv/|/up/|attention|norm|scan'
fi
python=$(FindPython)
if [[ -n $python && -x $build/bench/gesso_bench_forward ]]; then
  Step 150 pytorch "$python" bench/compare.py --device "$device" --build "$build" --batch 4 \
    --neighborhood gather --rounds 3
else
  Say "pytorch                left out: no Python with torch, numpy and safetensors"
fi
if [[ $device == cuda ]] && command -v compute-sanitizer >/dev/null; then
  GESSO_TEST_DEVICE=cuda Step 150 sanitizer compute-sanitizer --error-exitcode 9 \
    "$build/tests/kernels_test" \
    --gtest_filter='*Norm*:*Attention*:*Scan*:*Rope*:CudaProducts.*:*/CudaProducts.*'
fi
[[ $device == cuda ]] && nvidia-smi --format=csv \
  --query-gpu=name,driver_version,memory.used,clocks.sm,clocks.max.sm >"$results/gpu.csv" 2>&1
exit "$failed"
