// Lets a model of pictures paint piano rolls: what RefillSong asks for, window by window.
#pragma once

#include "pipelines/generator.h"
#include "pipelines/media/midi/refill.h"

namespace gesso {

// The model of music that gesso comes with.
constexpr std::string_view kMusicModel = "demo-music";

// Paints windows as `request`, which has no picture and no mask, says; window i with seed + i. The
// generator and the observer, which is told of steps, outlive the painter. What it throws is what
// the generator does, and kUsage for a request of several pictures.
PaintRoll SongPainter(Generator& generator, const Request& request, GenerateObserver& observer);

}  // namespace gesso
