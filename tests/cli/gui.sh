#!/usr/bin/env bash
# The editor in a real window, on a screen without a monitor (Xvfb) and with Mesa's OpenGL in
# software: a mask is drawn by hand, a prompt is typed, and the files that come out are compared.
#
#   tests/cli/gui.sh PROGRAM SOURCE_DIR [SANITIZERS] [SIZE MODEL]
#
# GESSO_KEEP=FOLDER keeps the screenshots there.
for tool in Xvfb xdotool; do
  command -v "$tool" >/dev/null || { printf 'skipped: %s is not installed\n' "$tool"; exit 77; }
done
source "$2/tests/cli/program.sh"
# A screen of our own. (xvfb-run waits for a signal that it may miss on a busy machine.)
export LIBGL_ALWAYS_SOFTWARE=1
mkfifo "$here/display"
Xvfb -displayfd 3 -screen 0 1440x900x24 -nolisten tcp 3>"$here/display" 2>/dev/null &
screen=$!
read -r -t 60 number <"$here/display" || { printf 'Xvfb did not start\n'; exit 1; }
export DISPLAY=:$number
trap 'kill $screen; rm -rf "$here"' EXIT
size=${4-512}
model=${5-demo-hdit}
export GESSO_MODELS=$data/models:$2/assets/models XDG_STATE_HOME=$here/state
keep=${GESSO_KEEP-$here}
if [[ $sanitizers == *thread* || $sanitizers == *address* ]]; then
  model=tiny-var size=8  # the same way, in time
fi

# A picture with a gradient, SIZE x SIZE; and files that are none.
python3 - "$here" "$size" <<'PYTHON'
import sys, zipfile, png
folder, size = sys.argv[1], int(sys.argv[2])
scale = max(1, 256 // size)
rows = [bytes(v for x in range(size)
              for v in (x * scale & 255, y * scale & 255, (x + y) * scale // 2 & 255))
        for y in range(size)]
png.write(f"{folder}/photo.png", size, size, png.RGB, rows)
png.write(f"{folder}/bomb.png", 60000, 60000, png.RGB, [])
png.write(f"{folder}/worse.png", 2**31 - 1, 2**31 - 1, png.RGB, [])
open(f"{folder}/zero.png", "wb")
for name, version in ("newer", 99), ("none", 0), ("old", 1):
    with zipfile.ZipFile(f"{folder}/{name}.gesso", "w") as project:
        project.writestr("project.json", '{"program": "gesso", "version": %d, "width": 0, "height": 0,'
                         ' "last_id": 0, "layers": []}' % version)
PYTHON

# Compare BEFORE AFTER MASK: equal outside the mask, different inside; without a mask equal.
Compare() { python3 - "$@" <<'PYTHON'
import sys, png
before, after = png.read(sys.argv[1]), png.read(sys.argv[2])
assert len(before) == len(after), "the sizes differ"
mask = png.read(sys.argv[3]) if len(sys.argv) > 3 else [b"\0"] * len(before)
wrong = sum(a != b for a, b, m in zip(before, after, mask) if m == b"\0")
inside = sum(m != b"\0" for m in mask)
changed = sum(a != b for a, b, m in zip(before, after, mask) if m != b"\0")
assert wrong == 0, f"{wrong} pixels changed outside of the mask"
assert inside == 0 and len(sys.argv) == 3 or changed > inside / 2 > 0, f"{changed} of {inside} painted"
PYTHON
}

# --- a mask by hand, a prompt, a result, undo -----------------------------------------------------
third=$((size / 3)) half=$((size / 2))
cat >"$here/session" <<SCRIPT
open $here/photo.png
set model $model
set seed 11
brush $((size / 4)) 1
frames 5
drag $third $half $half $half $((2 * third)) $((half + 1))
frames 2
screenshot $keep/gui-mask.png
save-mask $here/mask.png
click prompt
type a blue whale
frames 2
click paint
wait
frames 5
screenshot $keep/gui-painted.png
save $here/painted.png
action one-to-one
move prompt
frames 3
screenshot $here/one-to-one.png
key Ctrl+Z
frames 2
save $here/undone.png
frame-times $here/frames.json
wait
quit
SCRIPT
Expect 0 '' gui --script "$here/session"
Compare "$here/photo.png" "$here/painted.png" "$here/mask.png" || Fail 'the painted picture'
Compare "$here/photo.png" "$here/undone.png" || Fail 'undo does not bring the old picture back'
python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["frames"] > 20' "$here/frames.json" ||
  Fail 'no frame times'
# The command line makes the same of the files that the editor handed to its engine.
input=$(ls "$here"/state/gesso/results/*-input.png) mask=$(ls "$here"/state/gesso/results/*-mask.png)
Expect 0 '' inpaint "$input" --mask "$mask" --only-masked -m "$model" -s 11 'a blue whale' \
  -o "$here/line.png"
Compare "$here/painted.png" "$here/line.png" || Fail 'gesso inpaint makes other pixels'
Compare "$here/mask.png" "$mask" || Fail 'the mask was handed over changed'
# At one pixel a pixel the window shows the picture that was saved, to the byte.
python3 - "$here" "$size" <<'PYTHON' || Fail 'the window shows another picture'
import sys, png
def rows(path, width):
    pixels = png.read(path)
    return [b"".join(pixels[i:i + width]) for i in range(0, len(pixels), width)]
size = int(sys.argv[2])
saved, shown = rows(f"{sys.argv[1]}/painted.png", size), rows(f"{sys.argv[1]}/one-to-one.png", 1440)
middle = size // 2
places = [(y - middle, row.find(saved[middle])) for y, row in enumerate(shown)]
assert any(x >= 0 and [row[x:x + 3 * size] for row in shown[y:y + size]] == saved
           for y, x in places), "it is nowhere on the screen"
PYTHON

# --- a song: bars composed again, as the command line does -----------------------------------------
song=$data/midi/pop.mid
cat >"$here/song" <<SCRIPT
open $song
set model tiny-hdit
set prompt a tune
set seed 5
frames 3
key R
drag 80 0 96 64
frames 2
save-mask $here/song-mask.png
screenshot $keep/gui-song.png
click paint
wait
save $here/refilled.mid
save $here/song.gesso
wait
open $here/song.gesso
save $here/reopened.mid
wait
quit
SCRIPT
Expect 0 '' gui --script "$here/song"
Expect 0 '' inpaint "$song" --mask "$here/song-mask.png" -m tiny-hdit -s 5 'a tune' -o "$here/line.mid"
cmp "$here/refilled.mid" "$here/line.mid" || Fail 'gesso inpaint composes another song'
cmp "$here/refilled.mid" "$here/reopened.mid" || Fail 'the project holds another song'
! cmp -s "$here/refilled.mid" "$song" || Fail 'nothing was composed'
cmp "$here/refilled.mid" "$here"/state/gesso/results/*-000.mid || Fail 'the strip has another song'
printf 'open %s\nsave %s\n' "$here/photo.png" "$here/photo.mid" >"$here/wrong"
Expect 2 'photo.mid: what is open is a picture, which has no notes' gui --script "$here/wrong"
if command -v fluidsynth >/dev/null && compgen -G '/usr/share/sounds/sf[23]/*' >/dev/null; then
  printf 'open %s\nsave %s\nwait\nquit\n' "$song" "$here/song.wav" >"$here/wave"
  Expect 0 '' gui --script "$here/wave"
  [[ $(head -c 4 "$here/song.wav") == RIFF ]] || Fail 'no WAV file'
fi

# --- killed in the midst of writing: what was written before comes back whole ----------------------
large=1200
[[ -z $sanitizers ]] || large=300
python3 - "$here/noise.png" $large <<'PYTHON'
import random, sys, png
size = int(sys.argv[2])
png.write(sys.argv[1], size, size, png.RGB, [random.Random(y).randbytes(3 * size) for y in range(size)])
PYTHON
{
  printf 'open %s\nbrush 30 1\n' "$here/noise.png"
  for ((i = 0; i < 20000; ++i)); do
    printf 'drag %d %d %d %d\n' $((i * 37 % large)) $((i * 53 % large)) $((i * 71 % large)) $((i * 29 % large))
  done
} >"$here/endless"
cat >"$here/rescue" <<SCRIPT
frames 3
save $here/rescued.gesso
wait
save-mask $here/rescued-mask.png
save $here/rescued.png
wait
quit
SCRIPT
printf 'open %s\nsave %s\nwait\nquit\n' "$here/noise.png" "$here/same.png" >"$here/copy"
Expect 0 '' gui --script "$here/copy"
for delay in 0 0.03 0.2; do
  export XDG_STATE_HOME=$here/killed-$delay
  saves=$XDG_STATE_HOME/gesso/autosave
  "$program" gui --script "$here/endless" 2>"$here/stderr" &
  editor=$!
  # Once one copy is whole, the next is caught on its way.
  until compgen -G "$saves/*.gesso" >/dev/null || ! kill -0 $editor 2>/dev/null; do :; done
  until compgen -G "$saves/*.part" >/dev/null || ! kill -0 $editor 2>/dev/null; do :; done
  sleep "$delay"
  kill -9 $editor 2>/dev/null || Fail "the editor ended: $(tail -c 300 "$here/stderr")"
  wait $editor 2>/dev/null
  rm -f "$here"/rescued*
  Expect 0 '' gui --script "$here/rescue"
  python3 -c 'import sys, zipfile; assert zipfile.ZipFile(sys.argv[1]).testzip() is None' \
    "$here/rescued.gesso" || Fail "killed after $delay s: the project is not whole"
  cmp "$here/same.png" "$here/rescued.png" || Fail "killed after $delay s: another picture"
  (($(stat -c %s "$here/rescued-mask.png") > 1000)) || Fail "killed after $delay s: the mask is gone"
  [[ -z $(ls "$saves") ]] || Fail "left behind: $(ls "$saves")"
done
export XDG_STATE_HOME=$here/state

# --- real mouse and keyboard ----------------------------------------------------------------------
"$program" gui "$here/photo.png" 2>"$here/stderr" &
editor=$!
for _ in $(seq 100); do
  window=$(xdotool search --onlyvisible --pid $editor 2>/dev/null | tail -n 1)
  [[ -n $window ]] && break
  sleep 0.1
done
[[ -n $window ]] || Fail 'no window appeared'
sleep 2
xdotool windowfocus "$window" mousemove --window "$window" 500 380 mousedown 1
for x in 520 560 600; do xdotool mousemove --window "$window" $x 400; sleep 0.3; done
xdotool mouseup 1
sleep 1
# Frames take long here: what was typed is waited for, and typed again if need be. So do the disks
# of a machine that has just built everything: files are whole on them before they have their names.
for _ in 1 2 3; do
  xdotool key ctrl+shift+s; sleep 2
  xdotool type --delay 30 "$here/hand.gesso"; sleep 1
  xdotool key Return
  for _ in $(seq 300); do [[ -e $here/hand.gesso ]] && break 2; sleep 0.1; done
  xdotool key Escape
done
for _ in $(seq 240); do
  kill -0 $editor 2>/dev/null || break
  xdotool key ctrl+q
  sleep 0.5
done
kill $editor 2>/dev/null && Fail 'Ctrl+Q does not end the editor'
wait $editor || Fail "the editor ended with $?: $(tail -c 300 "$here/stderr")"
python3 - "$here" <<'PYTHON' || Fail 'the mask that the mouse drew'
import sys, zipfile
folder = sys.argv[1]
with zipfile.ZipFile(f"{folder}/hand.gesso") as project:
    open(f"{folder}/hand-mask.png", "wb").write(project.read("mask.png"))
    assert project.testzip() is None
PYTHON
python3 - "$here/hand-mask.png" <<'PYTHON' || Fail 'the mouse drew nothing'
import sys, png
assert any(map(any, png.read(sys.argv[1]))), "the mask is black"
PYTHON

# --- what can go wrong ----------------------------------------------------------------------------
(unset DISPLAY WAYLAND_DISPLAY; failures=0
 Expect 5 'no display.*gesso generate' gui; exit "$failures") || failures=$((failures + 1))
(export MESA_GL_VERSION_OVERRIDE=2.1; failures=0
 Expect 5 'OpenGL 3.0 or newer' gui; exit "$failures") || failures=$((failures + 1))
Expect 3 'zero.png.*not a PNG' gui "$here/zero.png"
# By their headers: the pixels would not fit into the memory that is allowed here.
(ulimit -v 8000000; failures=0
 Expect 3 'bomb.png: 60000 x 60000 pixels' gui "$here/bomb.png"
 Expect 3 'worse.png: 2147483647 x 2147483647 pixels' gui "$here/worse.png"
 exit "$failures") || failures=$((failures + 1))
Expect 3 'newer.gesso: was saved by a newer gesso .version 99' gui "$here/newer.gesso"
Expect 3 'none.gesso: .*version' gui "$here/none.gesso"
printf 'open %s\nquit\n' "$here/old.gesso" >"$here/old"
Expect 0 '' gui --script "$here/old"
Expect 3 'nix.png' gui nix.png
head -c 99 "$song" >"$here/cut.mid"
Expect 3 'cut.mid: byte [0-9]+: .* bytes are expected' gui "$here/cut.mid"
printf 'frames 2\nbogus\n' >"$here/wrong"
Expect 2 'wrong, line 2: there is no command .bogus.' gui --script "$here/wrong"
printf 'set model nix\naction paint\nexpect-error no model\nquit\n' >"$here/error"
Expect 0 '' gui --script "$here/error"

if ((failures > 0)); then
  printf '%d checks failed\n' "$failures"
  exit 1
fi
printf 'all checks passed\n'
