#!/usr/bin/env bash
# All that a machine with an NVIDIA GPU can tell about the CUDA side, in one command of under nine
# minutes: tests of ops and parity on the GPU, compute-sanitizer, pictures with and without graphs
# and with weights in few bits, times and shares of the GPU's peaks, PyTorch on the same GPU.
#
#   bench/gpu_day.sh [BUILD] [RESULTS]
#
# BUILD is a build folder with CUDA (made, or brought up to date), RESULTS a folder for logs
# (BUILD/gpu_day). GESSO_DAY_DEVICE=cpu does the same on a CPU, which tests this script.
# GESSO_DAY_SECONDS is the time that all steps may take together (520): what does not fit, or lacks
# a tool, is left out, listed as such and makes the exit code 1, as a failure does.
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

# LeftOut NAME WHY
LeftOut() {
  failed=1
  Say "$(printf '%-22s left out: %s' "$1" "$2")"
}

# Step SECONDS NAME COMMAND...: runs it with a time limit, says how it ended; false where it failed
Step() {
  local limit=$1 name=$2 started=$SECONDS code left=$((end - SECONDS))
  shift 2
  if ((left < 5)); then
    LeftOut "$name" "no time"
    return 1
  fi
  timeout "$((limit < left ? limit : left))" "$@" >"$results/$name.log" 2>&1
  code=$?
  ((code == 0)) || failed=1
  Say "$(printf '%-22s exit %3d after %3d s  (%s)' "$name" "$code" $((SECONDS - started)) \
    "$results/$name.log")"
  return "$code"
}

# Same NAME FILE FILE: whether two pictures are the same to the byte
Same() {
  local code=0
  if [[ ! -s $2 || ! -s $3 ]]; then
    LeftOut "$1" "a picture is missing"
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

# Up to date costs next to nothing, and what is tested is always what is here.
cuda=()
[[ $device == cuda ]] && cuda=(-DGESSO_CUDA=ON)
parts=(gesso gesso_bench_forward kernels_test pipelines_test)
Step 60 configure cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  ${cuda[@]+"${cuda[@]}"} || exit 1
# Google Benchmark may be absent.
ninja -C "$build" -t targets all | grep "^gesso_bench_ops:" >/dev/null && parts+=(gesso_bench_ops)
Step 400 build cmake --build "$build" --target "${parts[@]}" || exit 1
gesso=$build/cli/gesso
Step 20 devices "$gesso" info --devices

# On the device, by the tests themselves.
OnDevice() { Step "$1" "$2" env "GESSO_TEST_DEVICE=$device" "${@:3}"; }
# The same by a process a CPU: what the device gives is compared with what the CPU takes long for.
cpus=$(nproc)
cpus=$((cpus < 16 ? cpus : 16))
InShards() {
  # shellcheck disable=SC2016 # for the inner shell
  OnDevice "$1" "$2" bash -c 'seq 0 $(($0 - 1)) |
    xargs -P "$0" -I{} env GTEST_TOTAL_SHARDS="$0" GTEST_SHARD_INDEX={} "$@"' "$cpus" "${@:3}"
}
InShards 120 ops "$build/tests/kernels_test" --gtest_brief=1
InShards 80 parity "$build/tests/pipelines_test" --gtest_filter='*Parity.*' --gtest_brief=1

if [[ $device != cuda ]]; then
  Say "sanitizer              looks at GPUs alone"
elif ! command -v compute-sanitizer >/dev/null; then
  LeftOut sanitizer "no compute-sanitizer"
else
  # Not the kernels that other tests emulate on the CPU.
  ops='*Norm*:*Attention*:*Scan*:*Ssd*:*Rope*:*Conv*:*NearestCode*:*ScaledError*:*Deviation*'
  more='*Gather*:*Select*:*SampleTokens*:*LinearCombination*:*Gumbel*:*LowBit*:*Glu*:*Gated*'
  more+=':*Activate*:*SpaceDepth*:*Resize*'
  OnDevice 70 memcheck_ops compute-sanitizer --error-exitcode 9 "$build/tests/kernels_test" \
    --gtest_filter="$ops:$more:-*Cuda*:*Threads.*"
  OnDevice 50 memcheck_products compute-sanitizer --error-exitcode 9 \
    "$build/tests/kernels_test" --gtest_filter='CudaProducts.*'
  blocks='*AttentionTest.EqualsRef/?:*ScanTest.EqualsRef/?:*SsdTest.EqualsRef/?'
  OnDevice 60 racecheck compute-sanitizer --tool racecheck --error-exitcode 9 \
    "$build/tests/kernels_test" --gtest_filter="$blocks:*NormTest*:*RopeTest*:SampleTokens.*"
  OnDevice 30 synccheck compute-sanitizer --tool synccheck --error-exitcode 9 \
    "$build/tests/kernels_test" --gtest_filter="$blocks"
  Step 40 memcheck_graphs compute-sanitizer --error-exitcode 9 "$gesso" generate "a red apple" \
    --device cuda --dtype bfloat16 --seed 1 --steps 4 --sampling-method euler --overwrite \
    -o "$results/memcheck.png"
fi

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
done
for type in q8 q4 w8a8 w4a8 f8 f8a8; do
  [[ -d $results/demo-$type ]] ||
    Step 20 "convert_$type" "$gesso" convert demo-hdit "$results/demo-$type" --type "$type"
  Picture "$type" "a red apple and a cat" -m "$results/demo-$type" --dtype bfloat16
done

# Each run measures the peaks again, so there are no more of them than there are questions.
Bench() { Step 30 "bench_$1" "$gesso" bench --device "$device" "${@:2}"; }
Bench hdit_float32 -m demo-hdit
Bench hdit_bfloat16 -m demo-hdit --dtype bfloat16
Bench plain -m demo-hdit --dtype bfloat16 ${no_graphs[@]+"${no_graphs[@]}"}
Bench video -m demo-video --dtype bfloat16
Bench w8a8 -m "$results/demo-w8a8" --dtype bfloat16
Bench f8a8 -m "$results/demo-f8a8" --dtype bfloat16
# Shapes that fill a GPU, and those of models, attention by `flash` and by `cuda`, a line each.
if [[ " ${parts[*]} " == *" gesso_bench_ops "* ]]; then
  Step 60 bench_ops "$build/bench/gesso_bench_ops" "--device=$device" --benchmark_min_time=0.02 \
    --benchmark_counters_tabular=true \
    --benchmark_filter='large/|dim_|few/|/qkv/|/up/|attention|norm|scan|ssd|conv2d.*(160x160|demo_var)'
else
  LeftOut bench_ops "no Google Benchmark"
fi
python=$(FindPython)
if [[ -n $python ]]; then
  Step 150 pytorch "$python" bench/compare.py --device "$device" --build "$build" --batch 1 \
    --side 256 1024 --neighborhood gather --rounds 3 --mode reduce-overhead
else
  LeftOut pytorch "no Python with torch, numpy and safetensors"
fi
[[ $device == cuda ]] && nvidia-smi --format=csv \
  --query-gpu=name,driver_version,memory.used,clocks.sm,clocks.max.sm >"$results/gpu.csv" 2>&1
exit "$failed"
