"""Notes as pictures and back, and as MIDI files.

The picture is the one that pipelines/media/midi/roll_picture.h describes: SIDE columns are
sixteenths, four bars of 4/4, and SIDE rows are pitches, the highest on top. Red is the melody, green
are the chords, blue is the bass; the lowest DRUM_ROWS rows are the drums, in blue too. The first
column of a note holds 128 + velocity, the others SUSTAIN, so that repeated notes stay apart.
"""
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

MELODY, CHORDS, BASS, DRUMS = range(4)
TRACKS = ("melody", "chords", "bass", "drums")
SIDE, STEPS_PER_BAR = 64, 16
WINDOW_BARS = SIDE // STEPS_PER_BAR
DRUM_PITCHES = {"crash": 49, "ride": 51, "high tom": 50, "low tom": 45, "open hat": 46,
                "closed hat": 42, "snare": 38, "kick": 36}  # of General MIDI, top row first
DRUM_ROWS = len(DRUM_PITCHES)
PITCH_ROWS = SIDE - DRUM_ROWS
LOWEST, HIGHEST = 36, 36 + PITCH_ROWS - 1
SUSTAIN, FIRST_ONSET, FIRST_SUSTAIN = 64, 104, 32  # what is written, and where reading it begins
TICKS_PER_STEP = 120
PROGRAMS, CHANNELS = (80, 0, 33, None), (0, 1, 2, 9)  # lead, piano, finger bass; drums


class Note(NamedTuple):
    """Times in sixteenths."""
    track: int
    start: int
    length: int
    pitch: int  # MIDI's
    velocity: int  # 1 .. 127


def row_of(track: int, pitch: int) -> int | None:
    """The picture's row of a note, of pitches beyond the rows octaves nearer; None of a drum that
    has none."""
    if track == DRUMS:
        drums = list(DRUM_PITCHES.values())
        return PITCH_ROWS + drums.index(pitch) if pitch in drums else None
    while pitch < LOWEST:
        pitch += 12
    while pitch > HIGHEST:
        pitch -= 12
    return HIGHEST - pitch


def channel_of(track: int) -> int:
    return min(track, BASS)


def draw(notes: list[Note], first_bar: int = 0) -> np.ndarray:
    """The window of WINDOW_BARS bars from `first_bar` on as uint8 [SIDE, SIDE, 3]; what does not
    fit into it is left out."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    origin = first_bar * STEPS_PER_BAR
    placed = []
    for note in notes:
        begin, row = note.start - origin, row_of(note.track, note.pitch)
        if row is None or begin >= SIDE or begin + note.length <= 0:
            continue
        channel = channel_of(note.track)
        picture[row, max(begin, 0):begin + note.length, channel] = SUSTAIN
        if begin >= 0:
            placed.append((row, begin, channel, 128 + note.velocity))
    for row, begin, channel, value in placed:  # onsets win over what still sounds
        picture[row, begin, channel] = value
    return picture


def read(picture: np.ndarray) -> list[Note]:
    """The notes of a picture uint8 [SIDE, SIDE, 3], by track, time and pitch. What sounds without
    having begun in the picture is no note."""
    notes = []
    drums = list(DRUM_PITCHES.values())
    rows, columns, channels = np.nonzero(picture >= FIRST_ONSET)
    for row, column, channel in zip(rows.tolist(), columns.tolist(), channels.tolist()):
        drum = row >= PITCH_ROWS
        if drum and channel != BASS:
            continue
        line = picture[row, :, channel]
        end = column + 1
        while end < SIDE and FIRST_SUSTAIN <= line[end] < FIRST_ONSET:
            end += 1
        pitch = drums[row - PITCH_ROWS] if drum else HIGHEST - row
        velocity = min(max(int(line[column]) - 128, 1), 127)
        notes.append(Note(DRUMS if drum else channel, column, end - column, pitch, velocity))
    return sorted(notes, key=lambda note: (note.track, note.start, note.pitch))


def variable_length(value: int) -> bytes:
    groups = [value & 127]
    while value := value >> 7:
        groups.append(128 | value & 127)
    return bytes(reversed(groups))


def write_midi(path: Path, notes: list[Note], tempo: int) -> None:
    """Writes a Standard MIDI File of format 1 with a track for each of TRACKS; `tempo` in beats a
    minute."""
    chunks = [chunk([(0, b"\xff\x51\x03" + (60_000_000 // tempo).to_bytes(3, "big")),
                     (0, b"\xff\x58\x04\x04\x02\x18\x08")])]
    for track, name in enumerate(TRACKS):
        channel, program = CHANNELS[track], PROGRAMS[track]
        events = [(0, b"\xff\x03" + bytes([len(name)]) + name.encode())]
        if program is not None:
            events.append((0, bytes([0xC0 | channel, program])))
        played = [note for note in notes if note.track == track]
        hits = [(note.start, 1, bytes([0x90 | channel, note.pitch, note.velocity]))
                for note in played]
        ends = [(note.start + note.length, 0, bytes([0x80 | channel, note.pitch, 0]))
                for note in played]
        events += [(step * TICKS_PER_STEP, data) for step, _, data in sorted(hits + ends)]
        chunks.append(chunk(events))
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(chunks), 4 * TICKS_PER_STEP)
    path.write_bytes(header + b"".join(chunks))


def chunk(events: list[tuple[int, bytes]]) -> bytes:
    """A track chunk of (tick, event) in order of time."""
    data, now = bytearray(), 0
    for tick, event in events:
        data += variable_length(tick - now) + event
        now = tick
    data += b"\x00\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(data)) + bytes(data)


def read_midi(path: Path) -> list[Note]:
    """The notes of a file with the tracks of write_midi, by its names, on the grid of sixteenths.
    Made for files of this program and of gesso, which leave no status out."""
    data = path.read_bytes()
    division = struct.unpack(">H", data[12:14])[0]
    notes, at = [], 14
    while at < len(data):
        length = struct.unpack(">I", data[at + 4:at + 8])[0]
        notes += track_notes(data[at + 8:at + 8 + length], division / 4)
        at += 8 + length
    return sorted(notes, key=lambda note: (note.track, note.start, note.pitch))


def track_notes(data: bytes, step: float) -> list[Note]:
    at = now = 0

    def number() -> int:
        nonlocal at
        value = 0
        while True:
            byte, at = data[at], at + 1
            value = value << 7 | byte & 127
            if byte < 128:
                return value

    notes, sounding, track = [], {}, None
    while at < len(data):
        now += number()
        status, first = data[at], data[at + 1]
        if status == 0xFF:
            at += 2
            length = number()
            text, at = data[at:at + length], at + length
            if first == 3 and text.decode("latin-1") in TRACKS:
                track = TRACKS.index(text.decode("latin-1"))
            continue
        if status >> 4 in (8, 9):
            if status >> 4 == 9 and data[at + 2]:
                sounding[first] = now, data[at + 2]
            elif first in sounding and track is not None:
                start, velocity = sounding.pop(first)
                notes.append(Note(track, round(start / step), round((now - start) / step), first,
                                  velocity))
        at += 2 if status >> 4 in (12, 13) else 3
    return notes
