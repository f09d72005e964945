#!/usr/bin/env bash
# All that a machine with an NVIDIA GPU can tell about the CUDA side, in one command of under nine
# minutes: tests of ops and parity on the GPU, compute-sanitizer, pictures with and without graphs
# and with weights in few bits, times and shares of the GPU's peaks, PyTorch on the same GPU. It
# ends with a table of the targets (bench/gpu_targets.py).
#
#   bench/gpu_day.sh [BUILD] [RESULTS]
#
# BUILD is a build folder with CUDA (made, or brought up to date), RESULTS a folder for logs
# (BUILD/gpu_day); docs/gpu.md has the variables. What does not fit into the time, or lacks a tool,
# is left out, listed as such and makes the exit code 1, as failures and unmet targets do.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit
build=${1:-build}
results=${2:-$build/gpu_day}
models=$build/gpu_models
device=${GESSO_DAY_DEVICE:-cuda}
only=${GESSO_DAY_ONLY:+^(configure|build)$|$GESSO_DAY_ONLY}
total=${GESSO_DAY_SECONDS:-520}
end=$((SECONDS + total))
mkdir -p "$results" "$models"
rm -rf "$results"/{parity,ops} "$results"/*.{png,log,json,jsonl,tsv}
: >"$results/summary.txt"

Say() { printf '%s\n' "$*" | tee -a "$results/summary.txt"; }
# Ended NAME CODE WHY, as bench/gpu_targets.py reads it
Ended() { printf '%s\t%s\t%s\n' "$@" >>"$results/steps.tsv"; }

# LeftOut NAME WHY
LeftOut() {
  Ended "$1" "" "$2"
  Say "$(printf '%-25s left out: %s' "$1" "$2")"
}

# Step SECONDS NAME COMMAND...: runs it with a time limit, a longer one where all have more than 520
# seconds, and says how it ended; false where it failed
Step() {
  local limit=$(($1 * (total > 520 ? total : 520) / 520)) name=$2
  local started=$SECONDS code left=$((end - SECONDS))
  shift 2
  if [[ ! $name =~ ${only:-.} ]]; then
    Ended "$name" "" "not asked for"
    return 1
  elif ((left < 5)); then
    LeftOut "$name" "no time"
    return 1
  fi
  timeout -k 5 "$((limit < left ? limit : left))" "$@" >"$results/$name.log" 2>&1
  code=$?
  Ended "$name" "$code" ""
  Say "$(printf '%-25s exit %3d after %3d s  (%s)' "$name" "$code" $((SECONDS - started)) \
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
  cmp -- "$2" "$3" >"$results/$1.log" 2>&1 || code=$?
  Ended "$1" "$code" ""
  Say "$(printf '%-25s %s' "$1" "$( ((code == 0)) && echo "the same bytes" || echo DIFFER)")"
}

FindPython() {
  local python
  for python in ${GESSO_DAY_PYTHON:-python3 python}; do
    "$python" -c 'import torch, numpy, safetensors' 2>/dev/null && echo "$python" && return
  done
}

Finish() {
  "${python:-python3}" bench/gpu_targets.py "$results" "$device" | tee -a "$results/summary.txt"
  ((PIPESTATUS[0] == 0)) && ! cut -f 2 "$results/steps.tsv" | grep -vqx 0
  exit $?
}
trap Finish EXIT
python=$(FindPython)

# Up to date costs next to nothing, and what is tested is always what is here.
cuda=()
no_graphs=()
[[ $device == cuda ]] && cuda=(-DGESSO_CUDA=ON) no_graphs=(--no-graphs)
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
# The same by several processes: what the device gives is compared with what the CPU takes long for.
shards=$(nproc)
shards=$((shards < 16 ? (shards + 1) / 2 : 8))
InShards() {
  # shellcheck disable=SC2016 # for the inner shell
  OnDevice "$1" "$2" bash -c 'seq 0 $(($0 - 1)) |
    xargs -P "$0" -I{} env GTEST_TOTAL_SHARDS="$0" GTEST_SHARD_INDEX={} \
      GTEST_OUTPUT="json:$1/{}.json" "${@:2}"' "$shards" "$results/$2" "${@:3}"
}

# Sanitize SECONDS NAME TOOL TESTS
Sanitize() {
  OnDevice "$1" "$2" env "GTEST_OUTPUT=json:$results/$2.json" compute-sanitizer --tool "$3" \
    --error-exitcode 9 "$build/tests/kernels_test" --gtest_filter="$4"
}

Sanitizer() {
  local ops more blocks
  # Not the kernels that other tests emulate on the CPU.
  ops='*Norm*:*Attention*:*Scan*:*Ssd*:*Rope*:*Conv*:*NearestCode*:*ScaledError*:*Deviation*'
  more='*Gather*:*Select*:*SampleTokens*:*LinearCombination*:*Gumbel*:*LowBit*:*Glu*:*Gated*'
  more+=':*Activate*:*SpaceDepth*:*Resize*:*Heads*'
  blocks='*AttentionTest.EqualsRef/?:*ScanTest.EqualsRef/?:*SsdTest.EqualsRef/?'
  Sanitize 130 memcheck_ops memcheck "$ops:$more:-*Cuda*:*Threads.*" &
  Sanitize 100 memcheck_products memcheck 'CudaProducts.*' &
  Sanitize 120 racecheck racecheck "$blocks:*NormTest*:*RopeTest*:SampleTokens.*" &
  Sanitize 80 synccheck synccheck "$blocks" &
  Step 80 memcheck_graphs compute-sanitizer --error-exitcode 9 "$gesso" generate "a red apple" \
    --device cuda --dtype bfloat16 --seed 1 --steps 4 --sampling-method euler -o "$results/m.png" &
  Jobs 80 memcheck_scales compute-sanitizer --error-exitcode 9 "$gesso" generate \
    --dtype bfloat16 &
  wait
}

# Picture NAME OPTION...
Picture() {
  local name=$1
  shift
  Step 30 "$name" "$gesso" generate --device "$device" --seed 1 --overwrite \
    -o "$results/$name.png" "$@"
}

# Jobs SECONDS NAME COMMAND...: pictures NAME_0 to 4 of a next-scale model in one process, by passes
# that are done as they come, recorded, and played with other numbers
Jobs() {
  local frogs='{"prompt":"three green frogs","seed":1}' car='{"prompt":"a blue car","seed":2}'
  printf '%s\n' "$frogs" "$frogs" "$car" "$frogs" "$car" >"$results/$2.txt"
  Step "$1" "$2" "${@:3}" -m demo-var --device "$device" --prompt-file "$results/$2.txt" \
    --overwrite -o "$results/$2_%d.png"
}

Pictures() {
  local dtype sampler i
  for dtype in float32 bfloat16; do
    Step 20 "passes_$dtype" "$gesso" bench --device "$device" --dtype "$dtype" --repeats 2 --json
    for sampler in euler dpmpp_sde; do
      Picture "${sampler}_$dtype" "a red apple and a cat" --dtype "$dtype" \
        --sampling-method "$sampler"
      Picture "${sampler}_${dtype}_plain" "a red apple and a cat" --dtype "$dtype" \
        --sampling-method "$sampler" ${no_graphs[@]+"${no_graphs[@]}"}
      Same "graphs_${sampler}_$dtype" "$results/${sampler}_$dtype.png" \
        "$results/${sampler}_${dtype}_plain.png"
    done
    Jobs 30 "scales_$dtype" "$gesso" generate --dtype "$dtype"
    Jobs 30 "scales_${dtype}_plain" "$gesso" generate --dtype "$dtype" \
      ${no_graphs[@]+"${no_graphs[@]}"}
    for i in 3 4; do
      Same "graphs_scales_${dtype}_$i" "$results/scales_${dtype}_$i.png" \
        "$results/scales_${dtype}_plain_$i.png"
    done
  done
}

# Weights MODEL OPTION...: random ones in the files that are published
Weights() {
  [[ -n $python && ! -d $models/$1 ]] || return
  mkdir "$models/$1"
  Step 130 "weights_$1" "$python" bench/official_models.py write "$1" "$models/$1" \
    --device "$device" "${@:2}" || rm -r "${models:?}/$1"
}

# What is not timed runs all at once, each with one thread of the CPU.
(
  export OMP_NUM_THREADS=1
  InShards 130 parity "$build/tests/pipelines_test" --gtest_filter='*Parity.*:*OnAGpu*' \
    --gtest_brief=1 &
  InShards 130 ops "$build/tests/kernels_test" --gtest_brief=1 &
  if [[ $device == cuda ]]; then Sanitizer & else LeftOut memcheck_ops "looks at GPUs alone"; fi
  Pictures &
  Weights var16
  [[ -z ${GESSO_DAY_VAR:-} ]] || Weights var30
  [[ -z ${GESSO_DAY_INFINITY:-} ]] || Weights infinity2b_1m --official "$GESSO_DAY_INFINITY"
  wait
)

# From here on everything has the machine for itself, what is worth most first.
# Warm NAME JOB OPTION...: the job several times in one process
Warm() {
  printf "$2\n%.0s" {1..6} >"$results/$1.txt"
  Step 20 "$1" "$gesso" generate --prompt-file "$results/$1.txt" --json --device "$device" \
    --dtype bfloat16 --overwrite -o "$results/$1_%d.png" "${@:3}"
}
Warm demo_prompt "a red apple and a cat"
Warm var16_warm '{"class_label":207}' -m "$models/var16/var_d16.pth"

# Ops SECONDS NAME FILTER
Ops() {
  if [[ " ${parts[*]} " == *" gesso_bench_ops "* ]]; then
    Step "$1" "$2" "$build/bench/gesso_bench_ops" "--device=$device" --benchmark_min_time=0.02 \
      --benchmark_counters_tabular=true "--benchmark_out=$results/$2.json" \
      "--benchmark_filter=$3"
  else
    LeftOut "$2" "no Google Benchmark"
  fi
}
rows='(rms_norm|layer_norm|group_norm|selective_scan|ssd)/[^/]*/large/'
Ops 50 bench_large "^(linear/[^/]*/large/bias_|linear_glu/[^/]*/large/|$rows|\
neighborhood_attention/[^/]*/large/flux81/bfloat16/)"

# Torch SECONDS NAME SCRIPT OPTION...: a comparison with PyTorch
Torch() {
  if [[ -z $python ]]; then
    LeftOut "$2" "no Python with torch, numpy and safetensors"
  else
    Step "$1" "$2" "$python" "bench/$3" --device "$device" --dtype bfloat16 \
      --json "$results/times.jsonl" "${@:4}"
  fi
}
# Official SECONDS MODEL VARIABLE OPTION...: with the checkout that the variable names
Official() {
  if [[ -z ${!3:-} ]]; then
    LeftOut "$2" "set $3 to a checkout of FoundationVision/${3#GESSO_DAY_}"
  else
    Torch "$1" "$2" compare_next_scale.py "$2" "$models/$2" --gesso "$gesso" \
      --official "${!3}" --runs 4 "${@:4}"
  fi
}
ways=(triton triton-compiled)
[[ $device == cuda ]] || ways=(chunked)
hdit=(compare.py --build "$build" --batch 1 --neighborhood gather --arithmetic bfloat16 --rounds 3
  --mode reduce-overhead --side)
mamba=(compare_mamba.py --build "$build" --rounds 2 --variants "${ways[@]}" --networks)
Torch 60 flowers256 "${hdit[@]}" 256
Official 70 var16 GESSO_DAY_VAR --variants eager symbolic
Torch 50 dim_l_256 "${mamba[@]}" dim_l_256
Torch 60 flowers1024 "${hdit[@]}" 1024
Torch 50 dim_h_512 "${mamba[@]}" dim_h_512
Torch 50 bidim_video "${mamba[@]}" bidim_video
Official 60 var30 GESSO_DAY_VAR
Torch 50 dim_h_256 "${mamba[@]}" dim_h_256
Official 110 infinity2b_1m GESSO_DAY_INFINITY

# For people.
for type in q8 q4 w8a8 w4a8 f8 f8a8; do
  [[ -d $results/demo-$type ]] ||
    Step 20 "convert_$type" "$gesso" convert demo-hdit "$results/demo-$type" --type "$type"
  Picture "$type" "a red apple and a cat" -m "$results/demo-$type" --dtype bfloat16
done
for dtype in float32 bfloat16; do
  Picture "var_$dtype" "three green frogs" -m demo-var --dtype "$dtype"
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
Ops 60 bench_ops 'large/|dim_|few/|/qkv/|/up/|attention|norm|scan|ssd|conv2d.*(160x160|demo_var)'
[[ $device == cuda ]] && nvidia-smi --format=csv \
  --query-gpu=name,driver_version,memory.used,clocks.sm,clocks.max.sm >"$results/gpu.csv" 2>&1
