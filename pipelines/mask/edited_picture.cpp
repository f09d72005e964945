#include "pipelines/mask/edited_picture.h"

#include <algorithm>

#include "pipelines/mask/mask.h"
#include "pipelines/mask/masked_content.h"
#include "pipelines/media/image_file.h"

namespace gesso {

namespace {

// Defaults. A canvas that was made larger has nothing to keep, and needs a seam.
constexpr int64_t kPadding = 32;
constexpr int64_t kOutpaintGrow = 8;
constexpr int64_t kOutpaintBlur = 4;

// `image` on a canvas that is larger by the margins, the new pixels `value`.
Image OnCanvas(const Image& image, const Margins& margins, uint8_t value) {
  const int64_t width = image.width + margins.left + margins.right;
  const int64_t height = image.height + margins.top + margins.bottom;
  Require(width * height <= kMaxPixels, ErrorKind::kUsage,
          "outpaint: a canvas of {} x {} pixels is larger than {}", width, height, kMaxPixels);
  Image canvas{static_cast<int>(width), static_cast<int>(height), image.channels,
               std::vector<uint8_t>(static_cast<size_t>(width * height * image.channels), value)};
  const int64_t row = int64_t{image.width} * image.channels;
  for (int64_t y = 0; y < image.height; ++y) {
    std::copy_n(
        image.pixels.begin() + y * row, row,
        canvas.pixels.begin() + ((y + margins.top) * width + margins.left) * image.channels);
  }
  return canvas;
}

// The mask as it is in its file, or black where there is none.
Image ReadMask(const Request& request, const Image& picture) {
  if (!request.mask) {
    return {picture.width, picture.height, 1,
            std::vector<uint8_t>(picture.pixels.size() / static_cast<size_t>(picture.channels))};
  }
  Image mask = ReadImage(*request.mask, 1);
  Require(mask.width == picture.width && mask.height == picture.height, ErrorKind::kFormat,
          "{}: is {} x {}, but its picture {} is {} x {}; a mask has their size", *request.mask,
          mask.width, mask.height, *request.init_image, picture.width, picture.height);
  return mask;
}

// The picture with `channels`; as RGBA if it has an alpha channel, which is to be kept.
Image ReadPicture(const std::string& path, int channels) {
  RgbaImage read = ReadRgba(path);
  if (read.has_alpha || channels == 4) return std::move(read.image);
  return Opaque(read.image, channels);
}

// Reads picture and mask and does what is done at their own size.
void ReadWhole(const Request& request, int channels, EditedPicture& edited) {
  constexpr uint8_t kWhite = 255;
  const Margins margins = request.outpaint.value_or(Margins{});
  const Image picture = ReadPicture(*request.init_image, channels);
  edited.mask = ReadMask(request, picture);
  if (request.mask_invert.value_or(false)) InvertMask(edited.mask);
  edited.mask = OnCanvas(edited.mask, margins, kWhite);
  GrowMask(edited.mask, *request.mask_grow);
  FeatherMask(edited.mask, *request.mask_blur);
  edited.picture = OnCanvas(picture, margins, 0);
  if (!request.outpaint) return;
  // Beyond the border nothing of the picture can show through.
  for (int64_t y = 0; y < edited.mask.height; ++y) {
    const auto row = edited.mask.pixels.begin() + y * edited.mask.width;
    const bool beyond = y < margins.top || y >= margins.top + picture.height;
    std::fill_n(row, beyond ? edited.mask.width : margins.left, kWhite);
    std::fill_n(row + margins.left + picture.width, margins.right, kWhite);
  }
}

}  // namespace

bool IsEdit(const Request& request) { return request.mask || request.outpaint; }

std::string_view SizeAdvice(const Request& request) {
  const bool is_whole = IsEdit(request) && !request.only_masked.value_or(false);
  return is_whole ? "; only_masked paints a part of a picture of any size" : "";
}

void FitToEditedPicture(Request& request) {
  if (!IsEdit(request) || !request.init_image || request.width || request.height ||
      request.only_masked.value_or(false)) {
    return;
  }
  const Margins margins = request.outpaint.value_or(Margins{});
  const ImageSize size = ReadImageSize(*request.init_image);
  request.width = size.width + margins.left + margins.right;
  request.height = size.height + margins.top + margins.bottom;
}

void CompleteEdit(Request& request) {
  if (!IsEdit(request)) {
    VisitFields(request, [](const FieldInfo& info, const auto& field) {
      const bool is_of_edits =
          info.name.starts_with("mask") || info.name == "only_masked" || info.name == "inpaint";
      Require(!field || !is_of_edits, ErrorKind::kUsage,
              "{}: has no effect without a part to paint anew (mask or outpaint)", info.name);
    });
    return;
  }
  Require(request.init_image.has_value(), ErrorKind::kUsage,
          "{}: needs the picture that is to be painted in (init_image)",
          request.mask ? "mask" : "outpaint");
  Require(request.mask || !request.mask_invert.value_or(false), ErrorKind::kUsage,
          "mask_invert: needs a mask");
  Require(!request.mask_padding || request.only_masked.value_or(false), ErrorKind::kUsage,
          "mask_padding: has no effect without only_masked");
  const bool outpaints = request.outpaint.has_value();
  if (!request.mask_grow) request.mask_grow = outpaints ? kOutpaintGrow : 0;
  if (!request.mask_blur) request.mask_blur = outpaints ? kOutpaintBlur : 0;
  if (!request.masked_content) request.masked_content = outpaints ? "blur" : "keep";
  if (request.only_masked.value_or(false) && !request.mask_padding) request.mask_padding = kPadding;
  CheckMaskedContent(*request.masked_content);
  if (request.mask) ReadImageSize(*request.mask);  // what is no picture is told before the work
  Require(!outpaints || *request.masked_content != "keep", ErrorKind::kUsage,
          "masked_content: beyond a picture's border is nothing to keep; choose blur, noise or a "
          "colour");
}

EditedPicture ReadEditedPicture(const Request& request, int channels) {
  EditedPicture edited;
  ReadWhole(request, channels, edited);
  const Image& picture = edited.picture;
  const std::optional<Rect> bounds = BoundsOf(edited.mask);
  Require(bounds.has_value(), ErrorKind::kFormat,
          "{}: leaves nothing to paint: it is black everywhere (inverted: {}, grown by {})",
          request.mask.value_or("outpaint"), request.mask_invert.value_or(false),
          *request.mask_grow);
  if (request.only_masked.value_or(false)) {
    edited.place =
        CropAround(*bounds, *request.mask_padding, *request.width, *request.height, picture);
    Require(edited.place.width * edited.place.height <= kMaxPixels, ErrorKind::kUsage,
            "only_masked: the part round the mask with the aspect of {} x {} takes {} x {} pixels, "
            "more than {}",
            *request.width, *request.height, edited.place.width, edited.place.height, kMaxPixels);
  } else {
    Require(picture.width == *request.width && picture.height == *request.height, ErrorKind::kUsage,
            "{}: is {} x {}, but a picture of {} x {} is to be made; scale it to that size first, "
            "or let only_masked paint a part of it",
            *request.init_image, picture.width, picture.height, *request.width, *request.height);
    edited.place = {0, 0, picture.width, picture.height};
  }
  const auto width = static_cast<int>(*request.width);
  const auto height = static_cast<int>(*request.height);
  const Image part = CutOut(picture, edited.place);
  edited.input = Resized(part.channels == channels ? part : Opaque(part, channels), width, height,
                         PixelKind::kColour);
  edited.amount = ScaledMask(CutOut(edited.mask, edited.place), width, height);
  FillMasked(edited.amount, *request.masked_content, edited.input);
  return edited;
}

Image PasteBack(const EditedPicture& edited, const Image& painted) {
  const Rect& place = edited.place;
  Image whole = edited.picture;
  Paste(Resized(painted, static_cast<int>(place.width), static_cast<int>(place.height),
                PixelKind::kColour),
        place.left, place.top, edited.mask, whole);
  return whole;
}

}  // namespace gesso
