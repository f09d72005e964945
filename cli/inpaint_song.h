// gesso inpaint SONG.mid: bars or masked notes of a song composed again.
#pragma once

#include <string>

#include "cli/picture_options.h"

namespace gesso {

// Composes the bars of `bars` ("3" or "3-4", counted from 1) or else what the request's mask covers
// again, and writes the song (.mid) or its sound (.wav). Throws kUsage for options that songs do
// not have. Returns the exit code.
int InpaintSong(const PictureOptions& options, const std::string& song, const std::string& bars);

}  // namespace gesso
