// What is done to a whole mask.
#pragma once

#include "ui/state/document.h"

namespace gesso::ui {

constexpr int kMaxMaskRadius = 256;

void ClearMask(Document& document);
void FillMask(Document& document);  // all of it is painted
void InvertMask(Document& document);
// Moves the border outwards or inwards by `radius` pixels, 1 .. kMaxMaskRadius, grey levels with
// it: what --mask-grow of the command line does (pipelines/mask/mask.h).
void GrowMask(Document& document, int radius);
void ShrinkMask(Document& document, int radius);
// Softens the border, a blur of standard deviation `radius`: what --mask-blur does.
void FeatherMask(Document& document, int radius);
// Paints what looks like the pixel at `seed` and hangs together with it: no channel of the
// composed picture differs by more than `tolerance` (0 .. 255).
void BucketFill(Document& document, int x, int y, int tolerance, bool erase);
// Takes the mask of a grey picture. Throws kUsage for one of another size.
void LoadMask(Document& document, const Image& mask);

}  // namespace gesso::ui
