// Animated PNG (W3C PNG 3rd edition, section 11.3.4): lossless, read by every browser, and like a
// PNG file it carries the settings.
#pragma once

#include "pipelines/media/clip_writer.h"

namespace gesso {

std::unique_ptr<ClipWriter> OpenApng(const std::filesystem::path& path, const ClipSpec& spec,
                                     const ClipOptions& options);

}  // namespace gesso
