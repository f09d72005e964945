// Songs as documents: a roll of time x pitch as layers, one for each part that a roll tells apart.
#pragma once

#include "ui/state/document.h"

namespace gesso::ui {

// The song's roll in its own resolution, a column a sixteenth: from the bottom the bars in two
// shades, then a layer each for drums, bass, chords and melody. Throws as RollGrid.
Document OpenSong(MidiFile song, const std::string& name);

// The document's song becomes `song`, of as many steps: the layers of notes are drawn anew.
void ReplaceSong(Document& document, std::shared_ptr<const MidiFile> song);

// Whether both have the same bars: the one may take the other's place in a document.
bool HaveSameBars(const MidiFile& one, const MidiFile& other);

// How a song shows itself among the results: the roll of the bars under `mask`, which is of the
// song's roll and not black, and of those that follow, up to four in all.
Image DrawComposed(const MidiFile& song, const TiledImage& mask);

}  // namespace gesso::ui
