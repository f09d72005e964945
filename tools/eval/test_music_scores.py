"""Checks of the scores of music; run with pytest."""
from pathlib import Path

import torch

from tools.dataset import roll
from tools.dataset.music import Composer
from tools.dataset.roll import Note
from tools.eval.music import (agreement, emptied, held_out_pieces, is_new, kept_share, read_all,
                              refill_scores, song_window, windows)


def test_real_music_agrees_with_its_key_and_a_semitone_higher_does_not() -> None:
    pieces = held_out_pieces(20)
    before = read_all(windows(pieces))
    scores = refill_scores(pieces, before, before)
    assert scores["refilled"] == scores["real"]
    assert scores["real"]["in key"] == 1.0 and kept_share(before, before) == 1.0
    higher = [[n._replace(pitch=n.pitch + 1) for n in notes] for notes in before]
    wrong = refill_scores(pieces, before, higher)
    assert wrong["refilled"]["in key"] < 0.7 and kept_share(before, higher) < 0.7


def test_agreement_counts_notes() -> None:
    piece = Composer(0).compose("hymn", 0, "major")
    notes = [Note(0, 0, 1, 60, 9), Note(0, 1, 1, 61, 9), Note(1, 0, 1, 62, 9), Note(3, 0, 1, 61, 9)]
    scores = agreement([piece], [notes])
    assert scores["in key"] == 0.6667 and scores["melody"] == 0.5 and scores["chords"] == 1.0
    assert scores["notes a piece"] == {"melody": 2.0, "chords": 1.0, "bass": 0.0, "drums": 1.0}


def test_what_is_composed_again_is_not_shown() -> None:
    pieces = held_out_pieces(5)
    for whole, left in zip(read_all(windows(pieces)), read_all(emptied(pieces))):
        assert left == [note for note in whole if not is_new(note)]
        assert len(left) < len(whole)


def test_songs_are_read_as_the_windows_are(tmp_path: Path) -> None:
    piece = held_out_pieces(1)[0]
    roll.write_midi(tmp_path / "000.mid", piece.notes, piece.tempo)
    assert song_window(tmp_path / "000.mid") == read_all(windows([piece]))[0]
    assert windows([piece]).dtype == torch.uint8
