#!/usr/bin/env bash
# All that a machine with an NVIDIA GPU can tell about the CUDA side, in one command of under nine
# minutes: tests of ops and parity on the GPU, compute-sanitizer over the tests of ops, and times.
#
#   bench/gpu_day.sh [BUILD] [RESULTS]
#
# BUILD is a build folder with CUDA (made if absent), RESULTS a folder for logs (BUILD/gpu_day).
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
build=${1:-build}
results=${2:-$build/gpu_day}
mkdir -p "$results"

Step() {  # Step SECONDS NAME COMMAND...: runs it with a time limit, says how it ended
  local limit=$1 name=$2 started=$SECONDS
  shift 2
  timeout "$limit" "$@" >"$results/$name.log" 2>&1
  printf '%-18s exit %3d after %3d s  (%s)\n' "$name" $? $((SECONDS - started)) \
    "$results/$name.log" | tee -a "$results/summary.txt"
}

: >"$results/summary.txt"
if [[ ! -x $build/cli/gesso || ! -x $build/tests/kernels_test ]]; then
  Step 240 configure cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGESSO_CUDA=ON
  Step 240 build cmake --build "$build"
fi
gesso=$build/cli/gesso
export GESSO_TEST_DEVICE=cuda
Step 20 devices "$gesso" info --devices
Step 60 ops "$build/tests/kernels_test" --gtest_brief=1
Step 90 parity "$build/tests/pipelines_test" --gtest_filter='*Parity.*' --gtest_brief=1
unset GESSO_TEST_DEVICE
for dtype in float32 bfloat16; do
  Step 30 "demo_$dtype" "$gesso" generate "a red apple and a cat" --device cuda --dtype "$dtype" \
    --seed 1 --overwrite -o "$results/demo_$dtype.png"
  Step 30 "bench_hdit_$dtype" "$gesso" bench demo-hdit --device cuda --dtype "$dtype"
  Step 30 "var_$dtype" "$gesso" generate "three green frogs" -m demo-var --device cuda \
    --dtype "$dtype" --seed 1 --overwrite -o "$results/var_$dtype.png"
  Step 30 "bench_video_$dtype" "$gesso" bench demo-video --device cuda --dtype "$dtype"
done
if command -v compute-sanitizer >/dev/null; then
  GESSO_TEST_DEVICE=cuda Step 120 sanitizer compute-sanitizer --error-exitcode 9 \
    "$build/tests/kernels_test" --gtest_filter='*Norm*:*Attention*:*Scan*:*Rope*:*Linear*'
fi
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm --format=csv \
  >"$results/gpu.csv" 2>&1
cat "$results/summary.txt"
