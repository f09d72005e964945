#!/usr/bin/env bash
# Runs `gesso inpaint SONG.mid`: what makes the same song, and what is left of it.
#
#   tests/cli/songs.sh PROGRAM SOURCE_DIR [SANITIZERS]
source "$2/tests/cli/program.sh"
export GESSO_MODEL=tiny-hdit TMPDIR=$here/tmp
mkdir "$TMPDIR"
song=$data/midi/pop.mid

Expect 0 'a.mid: [0-9]+ notes, 248 before' inpaint "$song" "a tune" --bars 8 --seed 1 -o a.mid
[[ $(cat "$here/stdout") == a.mid ]] || Fail "stdout is not the path: $(cat "$here/stdout")"
Expect 0 '' inpaint "$song" "a tune" --bars 8-8 --seed 1 -o again.mid
cmp a.mid again.mid || Fail 'the same seed makes another song'
Expect 0 '' inpaint "$song" "a tune" --bars 8 --seed 2 -o other.mid
! cmp -s a.mid other.mid || Fail 'another seed makes the same song'
Png "$here/mask.png" 128 64 112
Expect 0 '' inpaint "$song" "a tune" --mask "$here/mask.png" --seed 1 -o masked.mid
cmp a.mid masked.mid || Fail 'a mask of the last bar makes another song than --bars 8'
Expect 6 'a.mid.*exists' inpaint "$song" --bars 8 -o a.mid
Expect 0 '' inpaint "$song" --bars 1-8 --overwrite --json -o a.mid
python3 -c 'import json, sys; assert json.load(sys.stdin)["notes_before"] == 248' <"$here/stdout" ||
  Fail "not the JSON of a song: $(cat "$here/stdout")"
Png "$here/narrow.png" 64 64 32
Expect 3 'the mask is 64 x 64 pixels; the roll of .*pop.mid is 128 x 64' \
  inpaint "$song" --mask "$here/narrow.png" -o b.mid
[[ -z $(ls "$TMPDIR") && ! -e b.mid ]] || Fail "left behind: $(ls "$TMPDIR")"
# As sound, where there is a synthesiser; where there is none, that is said before the work.
if command -v fluidsynth >/dev/null && compgen -G '/usr/share/sounds/sf[23]/*' >/dev/null; then
  Expect 0 'a.wav: [0-9]+ notes' inpaint "$song" "a tune" --bars 8 --seed 1 -o a.wav
  [[ $(head -c 4 a.wav) == RIFF ]] || Fail 'not a WAV file'
fi
mkdir "$here/bin"
ln -s "$(command -v tail)" "$(command -v tr)" "$(command -v grep)" "$here/bin"
(export PATH=$here/bin; failures=0; Expect 3 'the program fluidsynth, which is not installed' \
  inpaint "$song" --bars 8 -o b.wav; exit "$failures") || failures=$((failures + 1))
((failures == 0)) || exit 1
