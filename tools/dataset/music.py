"""Composes short pieces from the rules of harmony: chords, bass, melody and drums.

    python -m tools.dataset.music --seed 3 song.mid

A piece is BARS bars in 4/4 whose times are sixteenths. Chords follow the functional progressions of
major and of harmonic minor keys, are voiced near each other, and the phrases end in cadences; the
melody puts notes of the chord on the beats and steps through the scale between them; its rhythm,
and every other bar its contour, comes again.
"""
import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tools.dataset import roll
from tools.dataset.roll import BASS, CHORDS, DRUMS, MELODY, STEPS_PER_BAR, Note

BARS = 8
KEYS = ("c", "c sharp", "d", "e flat", "e", "f", "f sharp", "g", "a flat", "a", "b flat", "b")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# Scale degrees (0 the tonic) -> those that follow, likelier ones more often.
FOLLOWING = {
    "major": {0: (3, 3, 4, 4, 5, 5, 1, 2), 1: (4, 4, 4, 3), 2: (5, 3), 3: (4, 4, 0, 1),
              4: (0, 0, 5, 3), 5: (3, 3, 1, 4)},
    "minor": {0: (3, 5, 5, 6, 4, 2), 2: (5, 3, 6), 3: (4, 4, 0, 6), 4: (0, 0, 5), 5: (6, 2, 3, 4),
              6: (2, 0, 5)},
}
MELODY_RANGE, CHORD_RANGE, BASS_RANGE = (60, 86), (50, 70), (36, 50)


@dataclass(frozen=True)
class Style:
    """Patterns of one bar; onsets in sixteenths."""
    chord: tuple[tuple[int, ...], ...]  # onsets of the chord; with `broken` of its notes in turn
    bass: tuple[tuple[int, ...], ...]
    kick: tuple[int, ...] = ()
    snare: tuple[int, ...] = ()
    hat: tuple[int, ...] = ()
    melody: tuple[tuple[int, ...], ...] = ((0, 4, 8, 12), (0, 4, 6, 8, 12), (0, 2, 4, 8, 10, 12),
                                           (0, 6, 8, 12), (0, 4, 8, 10, 12, 14), (0, 8, 12))
    broken: bool = False
    changes: tuple[int, ...] = (1,)  # chords a bar
    walking: bool = False  # bass in steps from chord to chord
    open_hat: tuple[int, ...] = ()
    ride: bool = False  # on the ride cymbal instead of the hi-hat
    tempo: tuple[int, int] = (90, 130)  # beats a minute


STYLES = {
    "pop": Style(((0, 6, 12), (0, 8), (0, 4, 8, 12)), ((0, 6, 8, 14), (0, 8)), (0, 8, 10), (4, 12),
                 (0, 2, 4, 6, 8, 10, 12, 14), tempo=(96, 124)),
    "rock": Style(((0, 2, 4, 6, 8, 10, 12, 14), (0, 3, 6, 8, 11, 14)),
                  ((0, 2, 4, 6, 8, 10, 12, 14),), (0, 6, 8), (4, 12),
                  (0, 2, 4, 6, 8, 10, 12, 14), tempo=(110, 160)),
    "ballad": Style(((0,), (0, 8)), ((0,), (0, 8)), (0,), (8,), (0, 4, 8, 12),
                    ((0, 4, 12), (0, 8), (0, 6, 8), (0, 4, 8, 12), (0, 8, 10, 12)), ride=True,
                    tempo=(60, 84)),
    "dance": Style(((2, 6, 10, 14), (0, 3, 6, 8, 11, 14)), ((2, 6, 10, 14), (0, 3, 6, 10, 14)),
                   (0, 4, 8, 12), (4, 12), (0, 1, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15),
                   ((0, 3, 6, 8, 11, 14), (0, 3, 6, 10, 12), (0, 2, 4, 6, 8, 12)),
                   open_hat=(2, 6, 10, 14), tempo=(118, 138)),
    "bossa nova": Style(((0, 6, 12), (0, 3, 6, 10, 14)), ((0, 6, 8, 14),), (0, 6, 8, 14),
                        (0, 6, 12), (0, 2, 4, 6, 8, 10, 12, 14),
                        ((0, 6, 10, 12), (2, 6, 8, 14), (0, 3, 6, 10, 14)), ride=True,
                        tempo=(110, 140)),
    "march": Style(((2, 6, 10, 14), (4, 12)), ((0, 8), (0, 4, 8, 12)), (0, 8),
                   (4, 6, 7, 12, 14), (), ((0, 3, 4, 8, 12), (0, 4, 7, 8, 12), (0, 4, 8, 11, 12)),
                   tempo=(100, 126)),
    "hymn": Style(((0, 4, 8, 12), (0, 8)), ((0, 4, 8, 12), (0, 8)),
                  melody=((0, 4, 8, 12), (0, 8), (0, 4, 8), (0, 6, 8, 12)), changes=(2,),
                  tempo=(66, 92)),
    "classical": Style((tuple(range(0, 16, 2)), tuple(range(16))), ((0,), (0, 8)),
                       melody=((0, 4, 6, 8, 10, 12), (0, 2, 4, 6, 8, 12), (0, 8, 10, 12, 14),
                               (0, 3, 4, 8, 12), (0, 2, 4, 6, 8, 10, 12, 14)), broken=True,
                       changes=(1, 2), tempo=(84, 132)),
    "jazz": Style(((2, 8), (0, 6), (4, 12), (0, 10)), ((0, 4, 8, 12),), (0,), (4, 12),
                  (0, 4, 7, 8, 12, 15),
                  ((0, 4, 6, 8, 10, 14), (2, 4, 6, 8, 12, 14), (0, 2, 4, 6, 10, 12)),
                  changes=(1, 2), walking=True, ride=True, tempo=(110, 180)),
}


@dataclass
class Piece:
    tonic: int  # pitch class
    mode: str  # "major" or "minor"
    style: str
    tempo: int  # beats a minute
    chords: list[list[int]]  # scale degrees of the roots, bar by bar
    notes: list[Note]  # by track and time

    @property
    def bars(self) -> int:
        return len(self.chords)


def key_classes(tonic: int, mode: str) -> set[int]:
    """Pitch classes of a key; of a minor key also the leading tone of its dominant."""
    raised = {11} if mode == "minor" else set()
    return {(tonic + step) % 12 for step in {*SCALES[mode]} | raised}


def shortest_shift(pitches: list[int], shift: int) -> int:
    """Of the two shifts that are `shift` semitones modulo an octave, the one that leaves fewer of
    the pitches outside of the picture's rows, or else the shorter one."""
    def cost(by: int) -> tuple[int, int, int]:
        outside = sum(not roll.LOWEST <= pitch + by <= roll.HIGHEST for pitch in pitches)
        return outside, abs(by), -by
    up = shift % 12
    return min((up, up - 12), key=cost)


def in_c(piece: Piece) -> Piece:
    """The piece in C major or a minor, as models are shown it."""
    tonic = 0 if piece.mode == "major" else 9
    pitches = [note.pitch for note in piece.notes if note.track != DRUMS]
    shift = shortest_shift(pitches, tonic - piece.tonic)
    notes = [note if note.track == DRUMS else note._replace(pitch=note.pitch + shift)
             for note in piece.notes]
    return replace(piece, tonic=tonic, notes=notes)


class Composer:
    """Composes a piece after the other; one seed gives one series of pieces."""

    def __init__(self, seed: int | str):
        self.random = Random(seed)

    def compose(self, style: str | None = None, tonic: int | None = None,
                mode: str | None = None) -> Piece:
        """A piece of BARS bars; what is not given is drawn."""
        random = self.random
        style = style or random.choice(tuple(STYLES))
        self.style = STYLES[style]
        self.tonic = random.randrange(12) if tonic is None else tonic
        self.mode = mode or random.choice(("major", "major", "minor"))
        self.loud = random.choice((-12, 0, 0, 10))
        chords = self.progression(random.choice(self.style.changes))
        voiced = self.voice(chords)
        notes = (self.melody(voiced) + self.accompaniment(voiced) + self.bass(voiced)
                 + self.drums(len(chords)))
        notes.sort(key=lambda note: (note.track, note.start, note.pitch))
        return Piece(self.tonic, self.mode, style, random.randint(*self.style.tempo), chords, notes)

    def progression(self, changes: int) -> list[list[int]]:
        """Two phrases; the first ends half way (on the dominant or subdominant), the second on the
        tonic. Half of the time the second begins like the first."""
        phrases = []
        for last in (self.random.choice((4, 4, 3)), 0):
            length = BARS // 2 * changes
            if phrases and self.random.random() < 0.5:
                degrees = phrases[0][:length - 2 * changes]
            else:
                degrees = [0 if not phrases else self.random.choice((0, 5, 3))]
            while len(degrees) < length - 1:
                degrees.append(self.random.choice(FOLLOWING[self.mode][degrees[-1]]))
            if last == 0:
                degrees[-1] = self.random.choice((4, 4, 4, 3))
            phrases.append([*degrees, last])
        whole = phrases[0] + phrases[1]
        return [whole[i:i + changes] for i in range(0, len(whole), changes)]

    def pitch_class(self, degree: int, dominant: bool) -> int:
        """Of a scale degree; the leading tone of minor is raised where the dominant sounds."""
        step = SCALES[self.mode][degree % 7]
        raised = self.mode == "minor" and dominant and degree % 7 == 6
        return (self.tonic + step + raised) % 12

    def chord_classes(self, degree: int) -> list[int]:
        """Root, third and fifth; in jazz and bossa nova with the seventh."""
        seventh = self.style.walking or self.style is STYLES["bossa nova"]
        return [self.pitch_class(degree + i, degree == 4) for i in ((0, 2, 4, 6) if seventh
                                                                    else (0, 2, 4))]

    def voice(self, chords: list[list[int]]) -> list[list[tuple[int, list[int]]]]:
        """(degree, pitches) of every chord: the voicing that moves least from the one before."""
        low, high = CHORD_RANGE
        before, voiced = low + 9.0, []
        for bar in chords:
            voiced.append([])
            for degree in bar:
                classes = self.chord_classes(degree)
                options = []
                for inversion in range(len(classes)):
                    order = classes[inversion:] + classes[:inversion]
                    pitches = [low + (order[0] - low) % 12]
                    for value in order[1:]:
                        pitches.append(pitches[-1] + (value - pitches[-1]) % 12)
                    options.append(pitches)
                fitting = [o for o in options if o[-1] <= high] or options[:1]
                pitches = min(fitting, key=lambda o: abs(sum(o) / len(o) - before))
                before = sum(pitches) / len(pitches)
                voiced[-1].append((degree, pitches))
        return voiced

    def velocity(self, base: int, step: int) -> int:
        accent = 10 if step % 16 == 0 else 4 if step % 4 == 0 else 0
        return max(1, min(127, base + self.loud + accent + self.random.randint(-4, 4)))

    def accompaniment(self, voiced) -> list[Note]:
        onsets = self.random.choice(self.style.chord)
        held = self.random.random() < 0.7
        notes = []
        for bar, chords in enumerate(voiced):
            span = STEPS_PER_BAR // len(chords)
            for index, onset in enumerate(onsets):
                until = onsets[index + 1] if index + 1 < len(onsets) else STEPS_PER_BAR
                if self.style is STYLES["hymn"]:
                    until = min(until, (onset // span + 1) * span)
                pitches = chords[onset // span][1]
                length = until - onset if held or until - onset < 2 else (until - onset + 1) // 2
                if self.style.broken:  # Alberti: lowest, highest, middle, highest
                    order = (0, len(pitches) - 1, 1, len(pitches) - 1)
                    pitches = [pitches[order[index % 4]]]
                start = bar * STEPS_PER_BAR + onset
                level = self.velocity(66, start)
                notes += [Note(CHORDS, start, length, pitch, level) for pitch in pitches]
        return notes

    def bass(self, voiced) -> list[Note]:
        onsets = self.random.choice(self.style.bass)
        notes, flat = [], [chord for bar in voiced for chord in bar]
        low, high = BASS_RANGE
        for bar, chords in enumerate(voiced):
            span = STEPS_PER_BAR // len(chords)
            for index, onset in enumerate(onsets):
                until = onsets[index + 1] if index + 1 < len(onsets) else STEPS_PER_BAR
                number = bar * len(chords) + onset // span
                degree = flat[number][0]
                root = low + (self.pitch_class(degree, degree == 4) - low) % 12
                fifth = low + (self.pitch_class(degree + 4, degree == 4) - low) % 12
                first = onset % span < onsets[1] - onsets[0] if len(onsets) > 1 else True
                pitch = root if first or self.random.random() < 0.6 else fifth
                if self.style.walking and not first:
                    following = flat[(number + 1) % len(flat)][0]
                    target = low + (self.pitch_class(following, following == 4) - low) % 12
                    pitch = self.toward(notes[-1].pitch, target, degree, low, high)
                length = min(until - onset, span)
                start = bar * STEPS_PER_BAR + onset
                notes.append(Note(BASS, start, length, pitch, self.velocity(78, start)))
        return notes

    def toward(self, pitch: int, target: int, degree: int, low: int, high: int) -> int:
        """The note of the scale next to `pitch` in the direction of `target`."""
        ahead = 1 if target > pitch or (target == pitch and pitch < (low + high) // 2) else -1
        return self.step(pitch, ahead, degree)

    def step(self, pitch: int, direction: int, degree: int) -> int:
        """The next note of the scale above or below `pitch` while a chord sounds."""
        scale = {self.pitch_class(i, degree == 4) for i in range(7)}
        pitch += direction
        while pitch % 12 not in scale:
            pitch += direction
        return pitch

    def nearest(self, pitch: int, classes: list[int]) -> int:
        """The pitch of one of the classes nearest to `pitch`, within the melody's range."""
        low, high = MELODY_RANGE
        return min((p for p in range(low, high + 1) if p % 12 in classes),
                   key=lambda p: (abs(p - pitch), p))

    def melody(self, voiced) -> list[Note]:
        """A motif of two bars comes again: A B A C, A B A D; its contour moves with the chords."""
        random, notes = self.random, []
        rhythms = random.sample(self.style.melody, 3)
        contours = [[random.choice((-2, -1, -1, 0, 1, 1, 2)) for _ in range(16)] for _ in range(3)]
        level = pitch = random.randint(67, 77)
        for bar, chords in enumerate(voiced):
            part = (0, 1, 0, 2)[bar % 4]
            rhythm, contour = rhythms[part], contours[part]
            if bar % 4 == 3:  # the phrase's end rests on a long note
                rhythm = [onset for onset in rhythm if onset <= 8]
            if bar % 2 == 0:
                pitch = level
            span = STEPS_PER_BAR // len(chords)
            for index, onset in enumerate(rhythm):
                degree, pitches = chords[onset // span]
                classes = [p % 12 for p in pitches]
                moved = pitch
                for _ in range(abs(contour[index])):
                    moved = self.step(moved, 1 if contour[index] > 0 else -1, degree)
                strong = onset % 4 == 0 or index == len(rhythm) - 1
                low, high = MELODY_RANGE
                if not low <= moved <= high:
                    moved = 2 * pitch - moved
                out_of_scale = (moved - self.step(moved - 1, 1, degree)) != 0
                pitch = self.nearest(moved, classes) if strong or out_of_scale else moved
                until = rhythm[index + 1] if index + 1 < len(rhythm) else STEPS_PER_BAR
                length = until - onset
                if length > 2 and random.random() < 0.25:
                    length -= 1  # a breath
                start = bar * STEPS_PER_BAR + onset
                notes.append(Note(MELODY, start, length, pitch, self.velocity(92, start)))
        return notes

    def drums(self, bars: int) -> list[Note]:
        style, notes = self.style, []
        if not (style.kick or style.snare):
            return notes
        hat = "ride" if style.ride else "closed hat"

        def hit(drum: str, start: int, base: int) -> None:
            notes.append(Note(DRUMS, start, 1, roll.DRUM_PITCHES[drum], self.velocity(base, start)))

        fills = self.random.random() < 0.6
        for bar in range(bars):
            fill = fills and bar % 4 == 3
            begin = bar * STEPS_PER_BAR
            if bar % 4 == 0 and fills:
                hit("crash", begin, 90)
            for onset in style.kick:
                hit("kick", begin + onset, 92)
            for onset in style.snare:
                if not (fill and onset >= 12):
                    hit("snare", begin + onset, 86)
            for onset in style.hat:
                if not (fill and onset >= 12):
                    hit(hat, begin + onset, 62)
            for onset in style.open_hat:
                hit("open hat", begin + onset, 70)
            if fill:
                for onset, drum in zip(range(12, 16), ("snare", "high tom", "high tom", "low tom")):
                    hit(drum, begin + onset, 84)
        return notes


def caption(piece: Piece, random: Random) -> str:
    """Says a piece in words: style and key, sometimes one of them alone."""
    key = f"{KEYS[piece.tonic]} {piece.mode}"
    article = "an" if piece.style[0] in "aeiou" else "a"
    form = random.random()
    if form < 0.15:
        return f"{article} {piece.style} song"
    if form < 0.3:
        return f"music in {key}"
    if form < 0.4:
        return f"{piece.style}, {key}"
    return f"{article} {piece.style} song in {key}"


def all_captions() -> list[str]:
    """Every caption that caption() may give, in its commonest form and the short one."""
    return [text for style in STYLES for key in KEYS for mode in SCALES
            for text in (f"a {style} song in {key} {mode}", f"{style}, {key} {mode}",
                         f"music in {key} {mode}")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the .mid file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--style", choices=STYLES)
    options = parser.parse_args()
    piece = Composer(options.seed).compose(options.style)
    roll.write_midi(options.out, piece.notes, piece.tempo)
    print(f"{piece.style} in {KEYS[piece.tonic]} {piece.mode}, {piece.tempo} beats a minute, "
          f"{piece.bars} bars")


if __name__ == "__main__":
    main()
