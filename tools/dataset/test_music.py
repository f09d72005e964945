"""Checks of the program that composes; run with pytest."""
from pathlib import Path
from random import Random

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from tools.dataset import roll
from tools.dataset.music import (BARS, KEYS, STYLES, Composer, Piece, all_captions, caption,
                                 in_c, key_classes, shortest_shift)
from tools.dataset.music_stream import MusicBatches
from tools.dataset.roll import BASS, CHORDS, DRUMS, MELODY, STEPS_PER_BAR, Note
from tools.train.text import train_tokenizer


def pieces(count: int = 4) -> list[Piece]:
    return [Composer(f"{style} {i}").compose(style) for style in STYLES for i in range(count)]


def test_notes_are_in_key_and_fit_the_picture() -> None:
    for piece in pieces():
        classes = key_classes(piece.tonic, piece.mode)
        for note in piece.notes:
            assert note.track == DRUMS or note.pitch % 12 in classes
            assert roll.row_of(note.track, note.pitch) is not None
            assert 1 <= note.velocity <= 127


def test_bars_are_complete() -> None:
    for piece in pieces():
        assert piece.bars == BARS
        assert all(note.length >= 1 and note.start + note.length <= BARS * STEPS_PER_BAR
                   for note in piece.notes)
        sounding = [MELODY, CHORDS, BASS] + [DRUMS] * bool(STYLES[piece.style].kick)
        bars = {(note.track, note.start // STEPS_PER_BAR) for note in piece.notes}
        assert bars == {(track, bar) for track in sounding for bar in range(BARS)}


def test_phrases_end_in_cadences() -> None:
    for piece in pieces():
        assert piece.chords[BARS // 2 - 1][-1] in (3, 4)
        assert piece.chords[-1][-1] == 0
        last = [note.pitch % 12 for note in piece.notes
                if note.track == CHORDS and note.start + note.length > BARS * STEPS_PER_BAR - 4]
        assert not last or piece.tonic in last or STYLES[piece.style].broken


def test_one_seed_gives_one_piece_and_another_another() -> None:
    assert Composer(3).compose() == Composer(3).compose()
    assert Composer(3).compose() != Composer(4).compose()


def test_what_is_asked_for_is_composed() -> None:
    piece = Composer(0).compose("hymn", 9, "minor")
    assert (piece.style, piece.tonic, piece.mode) == ("hymn", 9, "minor")
    texts = {caption(piece, Random(seed)) for seed in range(50)}
    assert texts == {"a hymn song", "music in a minor", "hymn, a minor", "a hymn song in a minor"}


def test_models_are_shown_every_piece_in_c() -> None:
    for piece in pieces():
        shown = in_c(piece)
        assert (shown.tonic, shown.mode) == ((0, "major") if piece.mode == "major" else (9, "minor"))
        shifts = {new.pitch - old.pitch for new, old in zip(shown.notes, piece.notes, strict=True)
                  if old.track != DRUMS}
        assert len(shifts) == 1 and shifts <= set(range(-11, 12))
        assert (shifts.pop() + piece.tonic - shown.tonic) % 12 == 0
        assert [n for n in shown.notes if n.track == DRUMS] == [n for n in piece.notes
                                                                if n.track == DRUMS]


def test_the_way_to_c_is_short_and_leaves_the_rows_to_few() -> None:
    assert shortest_shift([60], 7) == -5 and shortest_shift([60], -7) == 5
    assert shortest_shift([60], 6) == 6
    assert shortest_shift([roll.LOWEST], 7) == 7 and shortest_shift([roll.HIGHEST], 5) == -7


def test_rows_of_pitches_beyond_are_octaves_nearer() -> None:
    assert roll.row_of(MELODY, roll.HIGHEST + 13) == roll.row_of(MELODY, roll.HIGHEST - 11) == 11
    assert roll.row_of(BASS, roll.LOWEST - 1) == roll.row_of(BASS, roll.LOWEST + 11)
    assert roll.row_of(DRUMS, 35) is None


def test_pictures_keep_the_notes() -> None:
    for piece in pieces(1):
        for first in range(BARS - roll.WINDOW_BARS + 1):
            origin = first * STEPS_PER_BAR
            expected = [note._replace(start=note.start - origin) for note in piece.notes
                        if origin <= note.start < origin + roll.SIDE]
            assert roll.read(roll.draw(piece.notes, first)) == expected


def test_repeated_notes_stay_apart_and_held_ones_whole() -> None:
    notes = [Note(MELODY, 0, 2, 72, 100), Note(MELODY, 2, 3, 72, 1), Note(MELODY, 60, 9, 60, 127)]
    read = roll.read(roll.draw(notes))
    assert read == [*notes[:2], notes[2]._replace(length=4)]


def test_what_began_before_the_window_sounds_but_is_no_note() -> None:
    picture = roll.draw([Note(BASS, 14, 6, 40, 90)], first_bar=1)
    assert (picture[roll.HIGHEST - 40, :5, BASS] == [64, 64, 64, 64, 0]).all()
    assert roll.read(picture) == []


def test_batches_are_new_for_every_seed() -> None:
    first, again, other = (next(iter(MusicBatches(4, seed))) for seed in (0, 0, 1))
    assert first[0].shape == (4, roll.SIDE, roll.SIDE, 3)
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert not np.array_equal(first[0], other[0])
    with pytest.raises(ValueError, match="multiple of 2"):
        MusicBatches(3, 0)


def test_tokenizer_tells_styles_and_keys_apart(tmp_path: Path) -> None:
    train_tokenizer(tmp_path / "spiece.model", 96, all_captions())
    pieces_of = SentencePieceProcessor(model_file=str(tmp_path / "spiece.model")).encode
    plain = pieces_of("a bossa nova song in e flat minor")
    assert pieces_of("A  Bossa\tNova song in E Flat\u00a0MINOR") == plain
    assert 2 not in plain
    assert len({tuple(pieces_of(text)) for text in all_captions()}) == len(set(all_captions()))
    assert len(set(KEYS)) == 12


def test_midi_files_hold_every_note(tmp_path: Path) -> None:
    roll.write_midi(tmp_path / "a.mid", [Note(CHORDS, 1, 2, 60, 90)], 120)
    data = (tmp_path / "a.mid").read_bytes()
    assert data.startswith(b"MThd\0\0\0\6\0\1\0\5\1\xe0MTrk")
    assert b"\xff\x51\x03\x07\xa1\x20" in data  # half a second a quarter
    assert b"\x78\x91\x3c\x5a\x81\x70\x81\x3c\x00" in data  # 120 ticks on, 240 later off


def test_midi_files_come_back(tmp_path: Path) -> None:
    piece = Composer(1).compose("rock")
    roll.write_midi(tmp_path / "a.mid", piece.notes, piece.tempo)
    assert roll.read_midi(tmp_path / "a.mid") == piece.notes
