#include "pipelines/media/apng.h"

#include <algorithm>
#include <cmath>

#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"

namespace gesso {

namespace {

std::string BigEndian16(uint32_t value) { return PngInteger(value).substr(2); }

// A frame's duration as a fraction of 16-bit numbers, nearest to 1 / fps seconds.
std::pair<uint32_t, uint32_t> DelayOf(double fps) {
  constexpr double kLargest = 65535;
  const double numerator = std::floor(kLargest / std::max(fps, 1.0));
  return {static_cast<uint32_t>(numerator), static_cast<uint32_t>(std::round(numerator * fps))};
}

class Apng : public ClipWriter {
 public:
  Apng(const std::filesystem::path& path, const ClipSpec& spec, const ClipOptions& options)
      : file_(path, options.overwrite), spec_(spec) {}

  void Add(const Image& frame) override {
    const std::string png = EncodePng(frame, {});
    std::string bytes;
    std::string data;  // of all its chunks
    ForEachPngChunk(png, [&](std::string_view type, std::string_view part) {
      if (type == "IHDR" && count_ == 0) bytes += Header(part);
      if (type == "IDAT") data += part;
    });
    Write(bytes + FrameData(data));
    ++count_;
  }

  void Finish() override {
    CHECK(count_ == spec_.frames);  // the header has said so
    Write(PngChunk("IEND", ""));
    file_.Commit();
  }

 private:
  void Write(std::string_view bytes) { file_.Write(std::as_bytes(std::span(bytes))); }

  // What stands before the first frame's data.
  std::string Header(std::string_view ihdr) const {
    std::string bytes(kPngSignature);
    bytes += PngChunk("IHDR", ihdr);
    for (const PngText& text : MetadataOf({spec_.request})) bytes += PngTextChunk(text);
    const uint32_t endless = 0;
    return bytes +
           PngChunk("acTL", PngInteger(static_cast<uint32_t>(spec_.frames)) + PngInteger(endless));
  }

  // The control chunk of a frame and its data, in one chunk.
  std::string FrameData(std::string_view data) {
    const auto [seconds, parts] = DelayOf(spec_.fps);
    std::string control = PngInteger(sequence_++) + PngInteger(static_cast<uint32_t>(spec_.width)) +
                          PngInteger(static_cast<uint32_t>(spec_.height)) + PngInteger(0) +
                          PngInteger(0) + BigEndian16(seconds) + BigEndian16(parts);
    control += std::string(2, '\0');  // the frame stays, and replaces all before
    const std::string bytes = PngChunk("fcTL", control);
    if (count_ == 0) return bytes + PngChunk("IDAT", data);
    return bytes + PngChunk("fdAT", PngInteger(sequence_++) + std::string(data));
  }

  OutputFile file_;
  ClipSpec spec_;
  int64_t count_ = 0;
  uint32_t sequence_ = 0;
};

}  // namespace

std::unique_ptr<ClipWriter> OpenApng(const std::filesystem::path& path, const ClipSpec& spec,
                                     const ClipOptions& options) {
  return std::make_unique<Apng>(path, spec, options);
}

}  // namespace gesso
