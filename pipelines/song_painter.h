// Lets a model of pictures paint piano rolls: what RefillSong asks for, window by window.
#pragma once

#include "pipelines/generator.h"
#include "pipelines/media/midi/refill.h"

namespace gesso {

// Paints windows as `request`, which has no picture and no mask, says; window i with seed + i. The
// generator and the observer, which is told of steps, outlive the painter. What it throws is what
// the generator does, and kUsage for a request of several pictures.
PaintRoll SongPainter(Generator& generator, const Request& request, GenerateObserver& observer);

// `song` with what `mask` covers composed again as `request` says, by kMusicModel if it names no
// model, in the key that its prompt names or else that of the song: RefillSong by a SongPainter,
// what `gesso inpaint SONG` and the editor do. Throws what they do, kUsage for fields that songs do
// not have, and kFormat for a mask that covers nothing, naming `name`.
MidiFile ComposeAgain(Generator& generator, const MidiFile& song, const Image& mask,
                      Request request, GenerateObserver& observer, const std::string& name);

}  // namespace gesso
