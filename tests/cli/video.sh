#!/usr/bin/env bash
# Runs `gesso video`: what is in the files that it writes (asked of ffprobe, where it is there),
# clips that are killed and go on, memory, and everything that can go wrong.
#
#   tests/cli/video.sh PROGRAM SOURCE_DIR [SANITIZERS]
source "$2/tests/cli/program.sh"
export GESSO_MODEL=tiny-video GESSO_SEED=1

# As Expect, and nothing is left behind.
ExpectNothing() {
  Expect "$@"
  local left
  left=$(find . -mindepth 1 -not -path './tmpfs*')
  [[ -z $left ]] || Fail "left behind by gesso ${*:3}: $left"
}

Probe() {
  ffprobe -v error -count_frames -select_streams v:0 -of csv=p=0 -show_entries "$2" "$1"
}

# ExpectFile NAME ENTRIES VALUES: what ffprobe says.
ExpectFile() {
  command -v ffprobe >/dev/null || return 0
  local found
  found=$(Probe "$1" "$2")
  [[ $found == "$3" ]] || Fail "$1: ffprobe says '$found', not '$3'"
}

# Checksums of the frames of a file, without the times.
Frames() {
  ffmpeg -v error -i "$1" -f framemd5 - | grep -v '^#' | awk '{print $NF}'
}

if "$program" video --help | tr -d '\n ' | grep -q 'here:none'; then
  printf 'note: built without FFmpeg, clips are not tested\n'
  exit 0
fi

# --- what is in the files -------------------------------------------------------------------------
entries=stream=codec_name,width,height,pix_fmt,color_range,color_space,color_transfer,color_primaries,avg_frame_rate,nb_read_frames
Expect 0 '12 frames of 32 x 32' video 'a ball' -o a.mp4 --frames 12 --fps 12.5 --scale 2
ExpectFile a.mp4 "$entries" h264,32,32,yuv420p,tv,bt709,bt709,bt709,25/2,12
ExpectFile a.mp4 format=duration 0.960000
ExpectFile a.mp4 format_tags=title 'a ball'
Expect 0 '' video 'a ball' -o a.webm --frames 12
ExpectFile a.webm "$entries" vp9,16,16,yuv420p,tv,bt709,bt709,bt709,8/1,12
ExpectFile a.webm format=duration 1.500000
Expect 0 '' video 'a ball' -o a.mkv --codec av1 --pixel-format yuv444p --crf 5 --scale 4
ExpectFile a.mkv "$entries" av1,64,64,yuv444p,tv,bt709,bt709,bt709,8/1,8
Expect 0 '' video 'a ball' -o a.gif --frames 150 --fps 20
ExpectFile a.gif stream=codec_name,width,height,avg_frame_rate,nb_read_frames gif,16,16,20/1,150
ExpectFile a.gif format=duration 7.500000
Expect 0 '' video 'a ball' -o a.apng --frames 5 --fps 24
ExpectFile a.apng stream=codec_name,width,height,pix_fmt,avg_frame_rate,nb_read_frames apng,16,16,rgb24,24/1,5
Expect 0 '' video 'a ball' -o frames/ --frames 5
[[ $(ls frames | tr '\n' ' ') == 'frame-00000.png frame-00001.png frame-00002.png frame-00003.png frame-00004.png ' ]] ||
  Fail "the folder of frames holds $(ls frames)"
Expect 0 '' video 'a ball' -o one.mp4 --frames 1
ExpectFile one.mp4 stream=nb_read_frames 1
for file in one.webm one.gif; do
  Expect 0 '' video 'a ball' -o $file --frames 1
  ExpectFile $file stream=nb_read_frames 1
done
Expect 0 '' video 'a ball' -o more.mp4 --frames 5 --interpolate 2
ExpectFile more.mp4 stream=avg_frame_rate,nb_read_frames 24/1,13
Expect 0 '' video 'a ball' -o loop.mp4 --frames 20 --loop --interpolate 1
ExpectFile loop.mp4 stream=avg_frame_rate,nb_read_frames 16/1,40
Expect 0 '' video 'a ball' -o a.mp4 --overwrite --json
grep -q '"frames":8.*"path":"a.mp4"' "$here/stdout" || Fail "--json printed $(<"$here/stdout")"
for file in a.mp4 a.webm a.gif a.apng frames/frame-00003.png; do
  Expect 0 '' metadata --json "$file"
  grep -q '"prompt":"a ball"' "$here/stdout" || Fail "$file: no settings in it"
done
Expect 0 '' video 'a ball' -o first.apng --seed 5
Expect 0 '' video --from first.apng -o second.apng
cmp first.apng second.apng || Fail '--from made another clip'
rm -r ./*

# --- killed, and resumed --------------------------------------------------------------------------
# AwaitWindows FOLDER COUNT: until the program in the background has so many finished windows there.
AwaitWindows() {
  while kill -0 $! 2>/dev/null && (($(find "$1" -name 'window-*.safetensors' 2>/dev/null | wc -l) < $2)); do
    sleep 0.01
  done
}

long=(video 'a ball' --frames 400 --scale 4 -o)
Expect 0 '' "${long[@]}" whole.mkv
for windows in 2 8; do
  "$program" "${long[@]}" cut.mkv --resume >"$here/stdout" 2>"$here/stderr" &
  AwaitWindows cut.mkv.work $windows
  kill -KILL $! 2>/dev/null
  wait $! 2>/dev/null
done
[[ -e cut.mkv ]] && Fail 'the clip was complete before it was killed'
[[ -e cut.mkv.work/window-000000.safetensors ]] || Fail 'no window was kept'
touch -d '1 hour ago' cut.mkv.work/window-000000.safetensors
before=$(stat -c %Y cut.mkv.work/window-000000.safetensors)
Expect 6 'cut.mkv.work: holds an unfinished clip; --resume' "${long[@]}" cut.mkv
Expect 2 'other settings \(steps\)' "${long[@]}" cut.mkv --resume --steps 5
[[ $(stat -c %Y cut.mkv.work/window-000000.safetensors) == "$before" ]] || Fail 'a window was lost'
Expect 0 '' "${long[@]}" cut.mkv --resume
[[ -e cut.mkv.work ]] && Fail 'the work folder is still there'
cmp -s whole.mkv cut.mkv || {
  command -v ffmpeg >/dev/null && [[ $(Frames whole.mkv) != $(Frames cut.mkv) ]] &&
    Fail 'the resumed clip differs from the whole one'
}
rm -r ./*

# The model and the first frame have to be the same too.
cp -r "$data/models/tiny-video" "$here/model" && chmod -R u+w "$here/model"
Png "$here/first.png" 16 16 4
other=(video 'a ball' -m "$here/model" --image "$here/first.png" --frames 2000 -o w.mp4 --resume)
"$program" "${other[@]}" >"$here/stdout" 2>"$here/stderr" &
AwaitWindows w.mp4.work 2
kill -KILL $! 2>/dev/null
wait $! 2>/dev/null
weights=$here/model/denoiser/model.safetensors
printf 'xx' | dd of="$weights" bs=1 seek=$(($(stat -c %s "$weights") - 40)) conv=notrunc status=none
Expect 3 'w.mp4.work: .*other files .denoiser/model.safetensors.' "${other[@]}"
cp "$data/models/tiny-video/denoiser/model.safetensors" "$weights"
Png "$here/first.png" 16 16 5
Expect 3 'w.mp4.work: .*other files .first.png.' "${other[@]}"
[[ $(find w.mp4.work -name 'window-*.safetensors' | wc -l) -ge 2 ]] || Fail 'a window was lost'
rm -r ./*
# A seed that was not asked for is that of the run before.
unset GESSO_SEED
windows=2
for signal in INT TERM HUP; do
  "$program" video x --frames 4000 -o i.mp4 --resume >"$here/stdout" 2>"$here/stderr" &
  AwaitWindows i.mp4.work $windows
  kill -$signal $!
  wait $!
  status=$?
  ((status == 130)) || Fail "exit code $status after SIG$signal"
  grep -q 'with --resume goes on' "$here/stderr" || Fail "no word of --resume: $(<"$here/stderr")"
  [[ $(echo i.mp4*) == i.mp4.work ]] || Fail "left after SIG$signal: $(echo i.mp4*)"
  windows=$(($(find i.mp4.work -name 'window-*' | wc -l) + 2))  # the next run has to make some
done
rm -rf ./*
export GESSO_SEED=1

Most() { printf '%s\n' "$@" | sort -n | tail -n 1; }

# --- memory ---------------------------------------------------------------------------------------
if [[ -z $sanitizers ]]; then
  for file in m.mp4 m.gif; do
    "$program" video x --frames 2000 -o $file --scale 2 >"$here/stdout" 2>"$here/stderr" &
    pid=$!
    samples=()
    while kill -0 $pid 2>/dev/null; do
      windows=$(ls $file.work 2>/dev/null | wc -l)
      now=$(awk '/VmRSS/ {print $2}' /proc/$pid/status 2>/dev/null)
      [[ -n $now ]] && ((windows > 12)) && samples+=("$now")
      sleep 0.05
    done
    wait $pid || Fail "$file: $(<"$here/stderr")"
    half=$((${#samples[@]} / 2))
    ((half > 0)) || { Fail "$file: was too quick to be looked at"; continue; }
    # The most of each half: a GIF needs more for a moment whenever a palette is made.
    early=$(Most "${samples[@]:0:half}") late=$(Most "${samples[@]:half}")
    ((late * 100 <= early * 105)) || Fail "$file: memory grew from $early to $late kB"
    rm $file
  done
fi

# --- what goes wrong ------------------------------------------------------------------------------
ExpectNothing 2 'fps.* 0 is outside 0.01' video x -o a.mp4 --fps 0
ExpectNothing 2 'fps: a .gif.* 60 frames/s are more than 50' video x -o a.gif --fps 20 --interpolate 2
ExpectNothing 2 'frames.* 0 is outside 1' video x -o a.mp4 --frames 0
ExpectNothing 2 "no 'theora' \(present: .*(h264|vp9|none)" video x -o a.mp4 --codec theora
ExpectNothing 2 'h264 does not go into a webm file' video x -o a.webm --codec h264
ExpectNothing 2 'crf: 60 is outside 0 to 51 of h264' video x -o a.mp4 --crf 60
ExpectNothing 2 'crf: means nothing to a .gif' video x -o a.gif --crf 6
ExpectNothing 2 "no 'yuv999' \(choices: yuv420p" video x -o a.mp4 --pixel-format yuv999
ExpectNothing 2 'clips are written as .mp4' video x -o a.avi
ExpectNothing 2 'output' video x
ExpectNothing 2 'width 17: .*multiples of 4 .*16 or 20' video x -o a.mp4 -W 17
ExpectNothing 2 'no prompt' video -o a.mp4
ExpectNothing 2 'give one of them' video x --prompt-schedule 0:y -o a.mp4
ExpectNothing 2 "expected FRAME:PROMPT, got 'y'" video --prompt-schedule '0:x|y' -o a.mp4
ExpectNothing 2 'loop: one frame' video x -o a.mp4 --frames 1 --loop
ExpectNothing 2 'interpolate: .* 6 between two' video x -o a.mp4 --interpolate 7
ExpectNothing 2 'share 3 at most' video x -o a.mp4 --frames 20 --overlap 4
ExpectNothing 2 'overlap: has no effect' video x -o a.mp4 --overlap 2
ExpectNothing 2 "scale_filter: there is no 'bad'" video x -o a.mp4 --scale 2 --scale-filter bad
ExpectNothing 2 "--scale-filter: has no effect without --scale" video x -o a.mp4 --scale-filter smooth
ExpectNothing 2 'makes pictures, not clips' video x -m tiny-hdit -o a.mp4
ExpectNothing 2 'makes clips of 8 frames' generate x -m tiny-video -o a.png
ExpectNothing 3 "VARPipeline" video x -m tiny-var -o a.mp4
ExpectNothing 3 'nix.png: cannot be opened' video x -o a.mp4 --image nix.png
head -c 60 "$2/docs/readme.png" >"$here/cut.png"
ExpectNothing 3 'cut.png: cannot be decoded' video x -o a.mp4 --image "$here/cut.png"
printf 'no picture' >"$here/in.png"
ExpectNothing 3 'in.png.*not a PNG' video x -o a.mp4 --image "$here/in.png"
ExpectNothing 6 'nix' video x -o nix/a.mp4
ln -s /dev/full "$here/full.mkv"
ExpectNothing 6 'full.mkv.*space' video x -o "$here/full.mkv"
mkdir full && touch full/mine
Expect 6 'full: frames go into a new or empty folder' video x -o full/
Expect 6 'full: frames go' video x -o full/ --overwrite
[[ -e full/mine ]] || Fail 'a file in the folder of frames was deleted'
rm -r full
touch a.mp4
Expect 6 'a.mp4.*exists.*--overwrite' video x -o a.mp4
rm a.mp4
mkdir tmpfs
if mount -t tmpfs -o size=256k none tmpfs 2>/dev/null; then
  mounted+=("$PWD/tmpfs")
  for output in tmpfs/a.mp4 tmpfs/a.webm tmpfs/a.gif tmpfs/a.apng tmpfs/frames; do
    Expect 6 'tmpfs/.*space' video x --frames 400 --scale 16 -o $output
    [[ -z $(ls -A tmpfs | grep -v '\.work$') ]] || Fail "a part of $output is left on the full disk"
    rm -rf tmpfs/*
  done
else
  printf 'note: cannot mount a tmpfs here, the full disk is not tested\n'
fi

if ((failures > 0)); then
  printf '%d checks failed\n' "$failures"
  exit 1
fi
printf 'all checks passed\n'
