// Lets a model of pictures paint piano rolls: what RefillSong asks for, window by window.
#pragma once

#include "pipelines/generator.h"
#include "pipelines/media/midi/refill.h"

namespace gesso {

struct ComposedSong {
  MidiFile song;
  Request request;  // complete settings, which make it again
};

// `song` with what `mask` covers composed again as `request`, which has no picture and no mask,
// says, by kMusicModel if it names no model, in the key that its prompt names or else that of the
// song: RefillSong with windows painted by `generator`, window i with seed + i; what
// `gesso inpaint SONG` and the editor do. The observer is told of steps. Throws what they do,
// kUsage for fields that songs do not have and for several pictures, and kFormat for a mask that
// covers nothing, naming `name`.
ComposedSong ComposeAgain(Generator& generator, const MidiFile& song, const Image& mask,
                          Request request, GenerateObserver& observer, const std::string& name);

}  // namespace gesso
