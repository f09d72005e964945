#!/usr/bin/env bash
# Runs the real program through everything that can go wrong and checks the documented exit code,
# that the message names the culprit, and that no partial file is left behind.
#
#   tests/cli/unhappy_paths.sh PROGRAM SOURCE_DIR [SANITIZERS]
source "$2/tests/cli/program.sh"
export GESSO_MODEL=tiny-hdit

# No file is left in the working folder but those named.
LeavesOnly() {
  local left
  left=$(find . -type f | sed 's|^\./||' | sort | tr '\n' ' ')
  [[ $left == "$(printf '%s\n' "$@" | sort | tr '\n' ' ' | sed 's/^ $//')" ]] ||
    Fail "expected the files '$*', found '$left'"
}

# As Expect, and nothing is left behind.
ExpectNothing() {
  Expect "$@"
  LeavesOnly
}

# Copy of a tiny model, to be broken.
Broken() {
  rm -rf "$here/broken"
  cp -r "$data/models/${1-tiny-hdit}" "$here/broken"
  chmod -R u+w "$here/broken"
}

# --- models ---------------------------------------------------------------------------------------
ExpectNothing 3 "there is no model 'nix'.*tiny-hdit" generate x -m nix -o a.png
ExpectNothing 2 "steps: has no effect.*scale by scale" generate x -m tiny-var --steps 5 -o a.png
ExpectNothing 2 "no cache policy 'nix' .*fastvar" generate x -m tiny-var --cache nix -o a.png
ExpectNothing 2 "pictures of 8 x 8 only" generate x -m tiny-var -W 16 -o a.png
ExpectNothing 2 "top_k: has no effect.*diffusion" generate x --top-k 5 -o a.png
ExpectNothing 2 "cfg_per_scale: has 3 values.*4 scales" generate x -m tiny-var --cfg-per-scale 1,2,3 -o a.png
ExpectNothing 2 "cfg_scale, cfg_per_scale: give one" \
  generate x -m tiny-var --cfg-scale 2 --cfg-per-scale 1,2,3,4 -o a.png
[[ $("$program" generate --help | tr -s ' \n' ' ') == *"none is 1, for VAR 0"* ]] ||
  Fail 'the help of --cfg-scale does not tell what none is'
GESSO_CFG_SCALE=2 Expect 0 '' generate x -m tiny-var --cfg-per-scale 1,2,3,4 -s 1 -o a.png
Expect 0 '' metadata --json a.png
grep -q '"cfg_per_scale":.1.0,2.0,3.0,4.0.,.*' "$here/stdout" && ! grep -q cfg_scale "$here/stdout" ||
  Fail "guidance is not what the flag says: $(<"$here/stdout")"
Expect 0 '' generate --from a.png --cfg-scale 2 -o b.png
Expect 0 '' metadata --json b.png
grep -q '"cfg_scale":2.0' "$here/stdout" && ! grep -q per_scale "$here/stdout" ||
  Fail "guidance is not what the flag says: $(<"$here/stdout")"
rm a.png b.png
ExpectNothing 2 "guidance_interval: has no effect without guidance" \
  generate x --cfg-scale 1 --guidance-interval 1,2 -o a.png
ExpectNothing 2 "--preview-every: has no effect without --preview" generate x --preview-every 3 -o a.png
GESSO_PREVIEW_EVERY=3 Expect 0 '' generate x --steps 1 -o a.png
rm a.png
ExpectNothing 2 "temperature: 'hot' is not a number|temperature.*not a number" generate x -m tiny-var --temperature hot -o a.png
ExpectNothing 2 "temperature: 0 is below 0.001; top_k 1" generate x -m tiny-var --temperature 0 -o a.png
ExpectNothing 2 "temperature: -1 is outside" generate x -m tiny-var --temperature -1 -o a.png
ExpectNothing 2 "temperature: has 2 values.*4 scales" generate x -m tiny-var --temperature 1,2 -o a.png
ExpectNothing 2 "cfg-per-scale: 'x' is not a number" generate x -m tiny-var --cfg-per-scale 1,x -o a.png
ExpectNothing 2 "top-k: -1 is outside" generate x -m tiny-var --top-k -1 -o a.png
ExpectNothing 2 "top-p: 1.5 is outside" generate x -m tiny-var --top-p 1.5 -o a.png
ExpectNothing 2 "cache: has no effect.*diffusion" generate x --cache fastvar -o a.png
ExpectNothing 2 "cache depth:layers=5: depth switching to 5 layers, but the model has 4" \
  generate x -m tiny-var --cache depth:layers=5 -o a.png
ExpectNothing 2 "from scale 4 on, but the last of 4 scales is 3" \
  generate x -m tiny-var --cache depth:from=4 -o a.png
ExpectNothing 2 "cache depth:zoom=1: depth: there is no option 'zoom' here \(options: layers, from" \
  generate x -m tiny-var --cache depth:zoom=1 -o a.png
ExpectNothing 2 "window_size is 5, must be a square number" \
  generate x -m tiny-var --cache scalekv:window_size=5 -o a.png
ExpectNothing 2 "FastVAR drops nothing by default from maps of up to 16 tokens; give last_ratio" \
  generate x -m tiny-var --cache fastvar -o a.png
ExpectNothing 2 "cache fastvar.scalekv: fastvar and scalekv cannot be combined" \
  generate x -m tiny-var --cache fastvar+scalekv -o a.png
Expect 0 '' generate x -m tiny-var --cache fastvar:first_ratio=0.3 -s 1 -o a.png
rm a.png
# All requests are checked before the first picture.
printf 'a cat\n{"prompt": "a dog", "cache": "depth:layers=9"}\n' >"$here/jobs"
ExpectNothing 2 "cache depth:layers=9: .*the model has 4" \
  generate -m tiny-var --prompt-file "$here/jobs" -o 'j%d.png'
ExpectNothing 2 "vae_tile_size: 3 is no multiple" generate x -m tiny-var --vae-tile-size 3 -o a.png

# --- in-painting ----------------------------------------------------------------------------------
Png "$here/eight.png" 8 8 4
Png "$here/nine.png" 9 8 4
Png "$here/sixteen.png" 16 16 12
ExpectNothing 2 "--mask: needs a picture that is white" inpaint "$here/eight.png" x -m tiny-var -o a.png
ExpectNothing 3 "nine.png: is 9 x 8, but its picture .*eight.png is 8 x 8" \
  inpaint "$here/eight.png" --mask "$here/nine.png" x -m tiny-var -o a.png
ExpectNothing 2 "pictures of 8 x 8 only, not of 9 x 8; only_masked paints" \
  inpaint "$here/nine.png" --mask "$here/nine.png" x -m tiny-var -o a.png
ExpectNothing 3 "nix.png" inpaint "$here/nix.png" --mask "$here/nine.png" x -m tiny-var -o a.png
Inpaint() { ExpectNothing "$1" "$2" inpaint "$here/sixteen.png" --mask "$here/sixteen.png" x -o a.png "${@:3}"; }
ExpectNothing 3 "nix.png" inpaint "$here/eight.png" --mask "$here/nix.png" x -o a.png
Inpaint 3 "sixteen.png: leaves nothing to paint.*grown by -4" --mask-grow -4
Inpaint 2 "masked_content: there is no 'fill' .choices: keep, blur, noise" --masked-content fill
Inpaint 2 "no inpainter 'nix' .*replace, repaint, differential" --inpaint nix
Inpaint 2 "inpaint repaint.*jump_length" --inpaint repaint:jump=3
Inpaint 2 "mask_padding: has no effect without only_masked" --mask-padding 3
Inpaint 2 "--mask-grow: 2000 is outside -1024 to 1024" --mask-grow 2000
Inpaint 2 "--mask-blur: 'x' is not a whole number" --mask-blur x
Inpaint 2 "--outpaint: expected LEFT,TOP,RIGHT,BOTTOM, got '8,8'" --outpaint 8,8
Inpaint 2 "--outpaint: -1 is outside 0 to 16384" --outpaint=-1,0,0,0
Inpaint 2 "--outpaint: all sides are 0" --outpaint 0,0,0,0
Inpaint 2 "nothing to keep" --outpaint 8,0,0,0 --masked-content keep
Inpaint 2 "tile_overlap: has no effect without tiles" --tile-overlap 4
ExpectNothing 2 "inpaint: has no effect" \
  inpaint "$here/eight.png" --mask "$here/eight.png" x -m tiny-var --inpaint replace -o a.png
ExpectNothing 2 "mask_blur: has no effect without a part" generate x --mask-blur 3 -o a.png
ExpectNothing 2 "width 9: this model makes multiples of 8.*only_masked paints" \
  inpaint "$here/nine.png" --mask "$here/nine.png" x -o a.png
Expect 0 'a.png: 9 x 8,' inpaint "$here/nine.png" --mask "$here/nine.png" x -o a.png \
  --only-masked --mask-padding 9000
LeavesOnly a.png; rm -f a.png
Expect 0 'a.png: 24 x 16,' inpaint "$here/eight.png" --outpaint 8,0,8,8 x -o a.png
LeavesOnly a.png; rm -f a.png
Expect 0 '' inpaint "$here/eight.png" --mask "$here/eight.png" x -m tiny-var -o a.png
LeavesOnly a.png; rm -f a.png
ExpectNothing 3 'nix/model.safetensors: no such' generate x -m nix/model.safetensors -o a.png
ExpectNothing 3 'no model_index.json' generate x -m "$here/work" -o a.png
weights=$here/broken/denoiser/model.safetensors
Broken; truncate -s -1000 "$weights"
ExpectNothing 3 'denoiser/model.safetensors.*(truncated|ends|beyond|short|size)' \
  generate x -m "$here/broken" -o a.png
Broken; truncate -s 5 "$weights"
ExpectNothing 3 'denoiser/model.safetensors' generate x -m "$here/broken" -o a.png
Broken; rm "$weights"
ExpectNothing 3 'denoiser/model.safetensors' generate x -m "$here/broken" -o a.png
Broken; sed -i 's/"mapping_width": 32/"mapping_width": 64/' "$here/broken/denoiser/config.json"
ExpectNothing 3 'denoiser/model.safetensors.*expected \[' generate x -m "$here/broken" -o a.png
# bfloat16 NaN over the last weights of the file.
Broken; printf '\xc0\x7f\xc0\x7f\xc0\x7f\xc0\x7f' |
  dd of="$weights" bs=1 seek=$(($(stat -c %s "$weights") - 8)) conv=notrunc status=none
ExpectNothing 3 'denoiser/model.safetensors.*(NaN|nan|finite)' generate x -m "$here/broken" -o a.png
Broken; printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >"$weights"
ExpectNothing 3 'denoiser/model.safetensors' generate x -m "$here/broken" -o a.png
Broken; printf '{"_class_name": "FluxPipeline"}' >"$here/broken/model_index.json"
ExpectNothing 3 'model_index.json.*FluxPipeline' generate x -m "$here/broken" -o a.png
Broken; printf '{"model": ' >"$here/broken/denoiser/config.json"
ExpectNothing 3 'denoiser/config.json' generate x -m "$here/broken" -o a.png
BrokenVar() {  # PART CHANGE: of a part's configuration
  Broken tiny-var
  sed -i "$2" "$here/broken/$1/config.json"
}
BrokenVar transformer 's/"depth": 4/"depth": 6/'
ExpectNothing 3 'transformer/model.safetensors.*has 4 blocks, but a VAR of depth 6' \
  generate x -m "$here/broken" -o a.png
BrokenVar transformer 's/^ *4$/5/'
ExpectNothing 3 'transformer/model.safetensors.*has 30 positions, but the patch_nums' \
  generate x -m "$here/broken" -o a.png
BrokenVar vae 's/"vocab_size": 24/"vocab_size": 32/'
ExpectNothing 3 'vae/model.safetensors.*embedding.weight: expected \[32, 8\]' \
  generate x -m "$here/broken" -o a.png
BrokenVar vae 's/^ *4$/5/'
ExpectNothing 3 'broken: patch_nums of the transformer and v_patch_nums of the tokenizer differ' \
  generate x -m "$here/broken" -o a.png
Broken; sed -i 's/"steps"/"stepz"/' "$here/broken/model_index.json"
ExpectNothing 3 "defaults.*'stepz'" generate x -m "$here/broken" -o a.png
Broken; sed -i 's/"steps": *[0-9]*/"steps": 0/' "$here/broken/model_index.json"
ExpectNothing 3 'defaults.*steps' generate x -m "$here/broken" -o a.png
Broken; sed -i 's/"steps": *[0-9]*/"init_image": "secret.png"/' "$here/broken/model_index.json"
ExpectNothing 3 "defaults.*cannot preset 'init_image'" generate x -m "$here/broken" -o a.png
Broken; sed -i 's/"dpmpp_2m"/"nix"/' "$here/broken/model_index.json"
ExpectNothing 3 "model_index.json, defaults: there is no sampler 'nix'" \
  generate x -m "$here/broken" -o a.png
Broken; sed -i 's/"karras"/"karras:rho=0"/' "$here/broken/model_index.json"
ExpectNothing 3 "model_index.json, defaults: schedule karras:.*rho" \
  generate x -m "$here/broken" --scheduler vp -o a.png
# A part of a model is none by itself, and still shown.
for part in demo-hdit/denoiser demo-var/transformer demo-clip detector; do
  Expect 0 '' info "$2/assets/models/$part/model.safetensors"
  grep -q '^no_model_because ' "$here/stdout" && grep -q '^bytes  *[0-9]' "$here/stdout" ||
    Fail "info does not show $part: $(<"$here/stdout")"
done
ExpectNothing 2 '--width: has no effect on weights that are no model' \
  info "$2/assets/models/detector/model.safetensors" -W 64

# --- songs ----------------------------------------------------------------------------------------
song=$data/midi/pop.mid
ExpectNothing 2 "--bars or --mask: one of them.*128 x 64 pixels" inpaint "$song" -o a.mid
ExpectNothing 2 "--bars: '4-x' is neither a bar" inpaint "$song" --bars 4-x -o a.mid
ExpectNothing 2 "bars 7-9: the song has the bars 1 to 8" inpaint "$song" --bars 7-9 -o a.mid
ExpectNothing 2 "a.png has to end in .mid" inpaint "$song" --bars 4 -o a.png
ExpectNothing 2 "--grid: songs do not have it" inpaint "$song" --bars 4 --grid -o a.mid
ExpectNothing 2 "--preview-every: songs do not have it" inpaint "$song" --bars 4 --preview-every 2 -o a.mid
ExpectNothing 2 "--bars: .*eight.png is no song" inpaint "$here/eight.png" --bars 4 x -o a.png
ExpectNothing 3 "nix.mid" inpaint nix.mid --bars 4 -o a.mid
head -c 99 "$song" >"$here/cut.mid"
ExpectNothing 3 "cut.mid: byte [0-9]+: .* bytes are expected" inpaint "$here/cut.mid" --bars 4 -o a.mid

# --- settings -------------------------------------------------------------------------------------
ExpectNothing 2 'SUBCOMMAND|subcommand'
ExpectNothing 2 "'foo' is neither a command" foo
ExpectNothing 2 'bogus.*gesso generate --help' generate --bogus
ExpectNothing 2 'prompt' generate -o a.png
ExpectNothing 2 'width 36: .*multiples of 8 .*32 or 40' generate x -W 36 -o a.png
ExpectNothing 2 'height 1: .*multiples of 8 .*the nearest is 16' generate x -H 1 -o a.png
for side in 96 112; do
  ExpectNothing 2 "width $side: .*multiples of 32 pixels, from 128 on; the nearest is 128" \
    generate x -m "$2/assets/models/demo-hdit" -W $side -o a.png
done
Expect 0 '' info --json "$2/assets/models/demo-hdit"
grep -q '"smallest_size":.128,128.' "$here/stdout" || Fail 'info does not tell the smallest size'
ExpectNothing 2 'error: negative_prompt: has no effect without guidance' \
  generate x -n y --cfg-scale 1 -o a.png
ExpectNothing 2 'error: cfg_rescale: has no effect without guidance' \
  generate x --cfg-rescale 0.5 --cfg-scale 1 -o a.png
ExpectNothing 2 'time_uniform:beta_start=0.9,beta_end=1e-6: noise level 0 of the schedule is' \
  generate x --scheduler time_uniform:beta_start=0.9,beta_end=1e-6 -o a.png
ExpectNothing 2 'steps.* 0 is outside 1 to 10000' generate x --steps 0 -o a.png
ExpectNothing 2 'steps.* 1000000000 is outside' generate x --steps 1000000000 -o a.png
ExpectNothing 2 'steps.*whole number' generate x --steps many -o a.png
ExpectNothing 2 "no sampler|unknown sampler|'nix'" generate x --sampling-method nix -o a.png
ExpectNothing 2 'zoom' generate x --sampling-method euler:zoom=2 -o a.png
ExpectNothing 2 'no flag|--zoom' generate x --zoom 2 -o a.png
ExpectNothing 2 'classes' generate x --class-label 1 -o a.png
ExpectNothing 2 '3 is none of the 3' generate -m tiny-classes --class-label 3 -o a.png
ExpectNothing 2 'prompt: model .*takes no text' generate x -m tiny-classes -o a.png
ExpectNothing 2 'negative_prompt: model .*takes no text' generate -n x -m tiny-classes -o a.png
ExpectNothing 2 'strength.*init' generate x --strength 0.5 -o a.png
ExpectNothing 2 'not valid UTF-8.*byte 2 is 0xff' generate $'ab\xff' -o a.png
ExpectNothing 5 'CUDA' generate x --device cuda -o a.png
ExpectNothing 2 'threads' generate x --threads 0 -o a.png
ExpectNothing 2 'threads: 99999 is not from 1 to [0-9]+' generate x --threads 99999 -o a.png
GESSO_THREADS=40000 ExpectNothing 2 'threads: 40000 is not' generate x -o a.png
ExpectNothing 2 'no op' generate x --kernel nix=ref -o a.png
ExpectNothing 2 "linear has no implementation 'nix' .implementations: .*ref" \
  generate x --kernel linear=nix -o a.png
ExpectNothing 2 'no-graphs' generate x --no-graphs -o a.png
ExpectNothing 2 '-o a.gif: the name of a picture ends in .png, .jpg' generate x -o a.gif
ExpectNothing 2 '-o a: the name of a picture ends in' generate x -o a
ExpectNothing 2 '-o a.tiff: the name of a picture ends in' \
  inpaint "$here/eight.png" --mask "$here/eight.png" x -m tiny-var -o a.tiff
ExpectNothing 2 '--preview p.gif: the name of a picture ends in' generate x -o a.png --preview p.gif
Png in.png 32 32 16
cp in.png kept.png
Preview() {  # PATTERN ARGUMENTS...: previews that would take the place of another file
  Expect 2 "$1.*; choose another name" generate x -s 7 "${@:2}"
  cmp in.png kept.png || Fail "changed: ${*:2}"
  LeavesOnly in.png kept.png
}
Preview '--preview ./a.png: is the file of a picture' -o a.png --preview ./a.png
Preview '--preview j1.png: is the file of a picture' -o 'j%d.png' -b 2 --preview j1.png
Preview '--preview a-001.png: is the file of a picture' -o a.png -b 2 --preview a-001.png
Preview '--preview gesso-7.png: is the file of a picture' --preview gesso-7.png
Preview '--preview in.png: is the picture to start from' -i "$PWD/in.png" -o a.png --preview in.png
Preview '--preview in.png: is the mask' -i kept.png --mask in.png -o a.png --preview in.png
rm in.png kept.png
GESSO_STEPS=0 ExpectNothing 2 'GESSO_STEPS' generate x -o a.png
mkdir -p "$here/config/gesso"
printf '{"steps": 3, "stepz": 4}' >"$here/config/gesso/config.json"
ExpectNothing 2 "config.json.*'stepz'" generate x -o a.png
rm "$here/config/gesso/config.json"
printf 'a cat\n{"stepz": 3}\n' >"$here/jobs"
ExpectNothing 2 "jobs, line 2.*'stepz'" generate --prompt-file "$here/jobs" -o a.png
ExpectNothing 3 'nix' generate --prompt-file nix -o a.png
ExpectNothing 3 'nix.png' generate --from nix.png -o a.png
ExpectNothing 3 'nix.png' generate x -i nix.png -o a.png
printf 'no picture' >"$here/in.png"
ExpectNothing 3 'in.png.*not a PNG' generate x -i "$here/in.png" -o a.png
ExpectNothing 3 'in.png.*PNG' generate --from "$here/in.png" -o a.png
ExpectNothing 3 'in.png.*PNG' metadata "$here/in.png"
ExpectNothing 3 '' verify nix
ExpectNothing 3 'nix' info nix

ExpectNothing 2 'excludes --devices' info --devices tiny-hdit
ExpectNothing 2 'excludes --devices' info --devices --json
ExpectNothing 2 '--dtype: has no effect on weights that are no model' \
  info "$data/models/tiny-hdit/text_encoder/model.safetensors" --dtype bfloat16

# Every part of a model; weights that lack their other parts.
Expect 0 '' info tiny-var --json
python3 - "$here/stdout" "$data/models/tiny-var" <<'PYTHON' || Fail 'info lists other weights'
import json, sys
model, *files = map(json.loads, open(sys.argv[1]))
assert model["kind"].startswith("VAR"), model
parts = ["text_encoder", "transformer", "vae"]
assert [f["file"] for f in files] == [f"{sys.argv[2]}/{p}/model.safetensors" for p in parts], files
assert all(f["values"] > 1000 for f in files), files
PYTHON
Expect 0 '' info "$data/models/tiny-var/transformer/model.safetensors"
grep -q '^no_model_because .*vae_ch160v4096z32.pth' "$here/stdout" &&
  grep -qE '^tensors +[0-9]+$' "$here/stdout" || Fail 'info hides weights that lack their tokenizer'

# --- prompts that work ----------------------------------------------------------------------------
Expect 0 'seed' generate '' -o empty.png
head -c 1000000 /dev/zero | tr '\0' 'a' >"$here/megabyte"
Expect 0 'reads|truncated' generate --prompt-file "$here/megabyte" -o long.png
Expect 0 '' metadata long.png
(($(stat -c %s "$here/stdout") > 1000000)) || Fail 'the metadata lost some of the 1 MB prompt'
LeavesOnly empty.png long.png
rm ./*.png

# --- kinds of pictures ------------------------------------------------------------------------------
Expect 0 '' generate x -s 1 -o a.png
kinds=(jpg jpeg JPG)
[[ $("$program" generate --help) != *.webp* ]] || kinds+=(webp)
for kind in "${kinds[@]}"; do
  Expect 0 "a.$kind: 32 x 32" generate x -s 1 -o "a.$kind" --preview "p.$kind" --preview-every 1
  Expect 0 '' generate --from "a.$kind" -o again.png
  cmp a.png again.png || Fail "a.$kind has other settings than a.png"
  [[ $(head -c 4 "a.$kind" | od -An -tx1) == $(head -c 4 "p.$kind" | od -An -tx1) ]] ||
    Fail "the preview p.$kind is of another kind"
  rm again.png "a.$kind" "p.$kind"
done
if [[ " ${kinds[*]} " == *" webp "* ]]; then  # sides of 16383 pixels at most
  Png wide.png 16400 8 16392
  Expect 0 'too many for .webp: written as w.png' inpaint wide.png x --mask wide.png --only-masked \
    -m tiny-hdit -o w.webp
  [[ $(cat "$here/stdout") == w.png ]] || Fail 'the file that was written has another name'
  rm wide.png w.png
fi
Expect 0 'without its settings: they take' generate --prompt-file "$here/megabyte" -o long.jpg
Expect 3 'long.jpg: holds no settings' metadata long.jpg
LeavesOnly a.png long.jpg
rm a.png long.jpg
# What FFmpeg itself has to say of a file is no message for people.
{ printf 'RIFF\0\0\0\0WAVEfmt '; head -c 2000 /dev/zero; } >sound.wav
Expect 3 '^gesso: error: sound.wav: is not a PNG, JPEG or WebP picture $' metadata sound.wav
rm sound.wav

# Previews show the last step in any case, of all pictures made together.
Expect 0 '' generate x -s 1 -b 2 --grid -o a.png --preview p.png --preview-every 100
python3 -c 'import png; assert png.read("a.png") == png.read("p.png")' ||
  Fail 'the preview does not show the last step'
rm a.png p.png

# --- memory ---------------------------------------------------------------------------------------
if [[ -z $sanitizers ]]; then
  (ulimit -v 1000000; failures=0; ExpectNothing 4 'needs [0-9]+ bytes' generate x -W 4096 -H 4096 \
    --tile-size 0 -o a.png; exit "$failures") || failures=$((failures + 1))
else
  printf 'note: sanitizers need all the address space, too little memory is not tested\n'
fi

# --- output ---------------------------------------------------------------------------------------
ExpectNothing 6 'nix' generate x -o nix/a.png
ExpectNothing 6 '/dev/full' generate x -o /dev/full
"$program" generate x -o - >/dev/full 2>"$here/stderr"
(($? == 6)) || Fail '-o - into /dev/full'
"$program" models >/dev/full 2>"$here/stderr"
(($? == 6)) || Fail 'models into /dev/full'
"$program" generate x -o - 2>"$here/stderr" | true
((PIPESTATUS[0] == 6 || PIPESTATUS[0] == 0)) || Fail '-o - into a closed pipe'
for argument in --help --version; do
  "$program" $argument >/dev/full 2>"$here/stderr"
  (($? == 6)) || Fail "$argument into /dev/full"
done
"$program" generate x -o - >&- 2>"$here/stderr"
(($? == 6)) || Fail '-o - into a closed standard output'
# What cannot be said on stderr does not stop the work, and goes nowhere else.
"$program" generate x y -s 1 -o 'a%d.png' 2>&- >"$here/stdout" || Fail 'a closed stderr'
"$program" generate x y -s 1 -o 'b%d.png' 2>/dev/full >"$here/stdout" || Fail 'stderr into /dev/full'
Expect 0 '' generate x y -s 1 -o 'c%d.png'
for picture in a0 a1 b0 b1; do
  cmp $picture.png c${picture:1}.png || Fail "$picture.png is not what it is with stderr"
done
rm ./*.png
# The name of a file need not be UTF-8, its JSON is.
name=$'a\xff.png'
Expect 0 '' generate x --json -o "$name"
python3 -c 'import json, sys; json.load(open(sys.argv[1], "rb"))' "$here/stdout" || Fail '--json is none'
mkdir "$here/m"$'\xff' && ln -s "$data/models/tiny-hdit" "$here/m"$'\xff'
GESSO_MODELS=$here/m$'\xff' Expect 0 '' models --json
python3 -c 'import json, sys; json.load(open(sys.argv[1], "rb"))' "$here/stdout" || Fail '--json is none'
Expect 0 '' generate $'x\e[31mred\nline' -o b.png
Expect 0 '' metadata b.png
grep -q $'\e' "$here/stdout" && Fail 'a control character of the metadata reaches the terminal'
[[ $(head -n 2 "$here/stdout") == $'x?[31mred\nline' ]] || Fail "metadata: $(<"$here/stdout")"
# A file without settings does not keep those of others back.
Expect 3 'nix.png: cannot be opened' metadata nix.png b.png "$name"
[[ $(grep -c '^Steps:' "$here/stdout") == 2 ]] || Fail "metadata of some: $(<"$here/stdout")"
LeavesOnly "$name" b.png
rm ./*.png
# A folder is made for the pictures; the one that it is in has to be there.
Expect 0 '' generate x -s 1 -o new/
Expect 0 '' generate x -b 2 -o 'numbered/%d.png'
LeavesOnly new/gesso-1.png numbered/0.png numbered/1.png
rm -r new numbered
ExpectNothing 6 'nix/new: cannot be written .nix: No such' generate x -o nix/new/
ExpectNothing 6 'nix/new: cannot be written .nix: No such' generate x -o 'nix/new/%d.png'
ExpectNothing 3 'nix.png' generate x -i nix.png -o new/
[[ ! -e new ]] || Fail 'a folder was made for no picture'
# What a picture was made from is looked for beside it.
mkdir sub
Png sub/in.png 32 32 4
cd sub
Expect 0 '' generate x -i in.png -s 1 -o made.png
cd ..
Expect 0 '' generate --from sub/made.png -o again.png
rm sub/in.png
Expect 3 "sub/made.png: was made from 'in.png' .init_image., which is missing" \
  generate --from sub/made.png -o a.png
Expect 0 '' generate --from sub/made.png -i "$here/eight.png" -o other.png
LeavesOnly again.png other.png sub/made.png
rm -r ./*.png sub
# dpm_adaptive says what steps it took, whatever --steps is.
Expect 0 'steps of dpm_adaptive' generate x --sampling-method dpm_adaptive --steps 9 -s 1 -o a.png
taken=$(grep -o '[0-9]* steps of' "$here/stderr")
Expect 0 ", $taken dpm_adaptive" generate x --sampling-method dpm_adaptive --steps 7 -s 1 -o b.png
rm ./*.png
# The line of progress does not wrap.
python3 - "$program" <<'PYTHON' || Fail 'the line of progress is not as wide as the terminal'
import fcntl, os, pty, re, struct, subprocess, sys, termios
terminal, end = pty.openpty()
fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
command = [sys.argv[1], "generate", "x", "-b", "3", "-o", "a%d.png"]
program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=end,
                           env=os.environ | {"TERM": "xterm"})
os.close(end)
said = b""
try:
    while block := os.read(terminal, 4096):
        said += block
except OSError:  # the program has closed its end
    pass
lines = [line for line in re.split(rb"\r\x1b\[K|\r\n", said) if line.startswith(b"[")]
sys.exit(program.wait() or not lines or max(map(len, lines)) != 29)
PYTHON
rm -f ./*.png
ln -s nothing a.png
Expect 6 'a.png.*exists; --overwrite' generate x -o a.png
Expect 0 '' generate x -o a.png --overwrite
LeavesOnly a.png
printf 'mine' >a.png
Expect 6 'a.png.*exists.*--overwrite' generate x -o a.png
[[ $(<a.png) == mine ]] || Fail 'a file was overwritten'
Expect 6 'a.png/b.png' generate x -o a.png/b.png
Expect 6 'preview' generate x -o b.png --preview nix/preview.png
LeavesOnly a.png
rm a.png
mkdir tmpfs
if mount -t tmpfs -o size=16k none tmpfs 2>/dev/null; then
  mounted+=("$PWD/tmpfs")
  Expect 6 'tmpfs/a.png.*space' generate x -W 128 -H 128 --steps 1 -o tmpfs/a.png
  LeavesOnly
  mount -o remount,ro tmpfs
  ExpectNothing 6 'tmpfs.*(ead-only|ermission)' generate x -o tmpfs/a.png
else
  printf 'note: cannot mount a tmpfs here, the full disk and the read-only folder are not tested\n'
fi
(ulimit -f 4; failures=0
  Expect 6 'a.png.*too large' generate x -W 128 -H 128 --steps 1 -o a.png
  exit "$failures") || failures=$((failures + 1))
LeavesOnly
if ((EUID != 0)); then
  mkdir locked && chmod a-w locked
  Expect 6 'locked' generate x -o locked/a.png
fi

# --- convert --------------------------------------------------------------------------------------
ExpectNothing 2 '--type.*q5.*q8, q4, w8a8, w4a8, f8, f8a8' convert tiny-hdit out --type q5
ExpectNothing 2 'calibrate.*q8' convert tiny-hdit out --type q8 --calibrate 2
ExpectNothing 2 'seed: has no effect without --calibrate' convert tiny-hdit out --type w8a8 --seed 3
ExpectNothing 3 'only Diffusion Mambas' convert tiny-hdit out --type w8a8 --calibrate 1
ExpectNothing 3 'no model .nix' convert nix out --type q8
Expect 0 '' convert tiny-hdit "$here/few" --type w4a8
Expect 0 '' generate x -m "$here/few" --steps 1 -o few.png
rm -f few.png
ExpectNothing 6 'exists already' convert tiny-hdit "$here/few" --type q8
ExpectNothing 2 'in few bits already' convert "$here/few" out --type q8
ExpectNothing 6 '' convert "$data/models/tiny-classes.safetensors" no/such/folder.safetensors --type q8

# --- Ctrl-C ---------------------------------------------------------------------------------------
# An interrupt keeps what is finished and leaves nothing half done. 130 whenever it comes; before
# the program listens for it, the signal itself ends it.
for delay in 0.01 0.05 0.1 0.2 0.4; do
  rm -f ./*.png
  "$program" generate x -b 9999 --steps 20 -o 'i%d.png' >"$here/stdout" 2>"$here/stderr" &
  sleep $delay
  kill -INT $!
  wait $!
  status=$?
  ((status == 130)) || Fail "exit code $status after an interrupt at $delay s"
  written=$(sort "$here/stdout" | tr '\n' ' ')
  LeavesOnly $written
  for picture in $written; do
    "$program" metadata "$picture" >"$here/stdout" || Fail "$picture has no metadata"
  done
done
# Two interrupts end it within a step, however long that takes.
rm -f ./*.png
"$program" generate x -W 128 -H 128 --steps 9999 -o i.png >"$here/stdout" 2>"$here/stderr" &
sleep 1
kill -INT $!; sleep 0.1; kill -INT $! 2>/dev/null  # it may have ended already
wait $!
(($? == 130)) || Fail 'exit code after two interrupts'
LeavesOnly

# Whoever waits for others is not left waiting.
mkfifo pipe
ExpectNoWait() {
  "$program" "$@" >"$here/stdout" 2>"$here/stderr" &
  local pid=$! tenths=0
  sleep 1
  kill -INT $pid
  while kill -0 $pid 2>/dev/null && ((tenths++ < 100)); do sleep 0.1; done
  kill -KILL $pid 2>/dev/null
  wait $pid
  local status=$?
  ((status == 130)) || Fail "exit code $status after an interrupt of: gesso $*"
}
ExpectNoWait generate --prompt-file pipe -o a.png
ExpectNoWait generate x -i pipe -o a.png
ExpectNoWait generate x -o pipe
exec 4<>pipe
ExpectNoWait generate --prompt-file - -o a.png <pipe
exec 4>&-
LeavesOnly

if ((failures > 0)); then
  printf '%d checks failed\n' "$failures"
  exit 1
fi
printf 'all checks passed\n'
