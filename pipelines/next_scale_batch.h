// What families of next-scale models share when they make pictures: the settings of a request as
// those of the sampling loop, a batch of pictures in it, and the memory that they take.
#pragma once

#include <filesystem>
#include <optional>

#include "cache/policy.h"
#include "kernels/core/replay.h"
#include "models/autoencoder/tiled.h"
#include "pipelines/mask/edited_picture.h"
#include "pipelines/picture_model.h"
#include "samplers/next_scale/sampler.h"

namespace gesso {

// Fields that only diffusion has a use for.
void RefuseDiffusionFields(const Request& request);

// Throws kUsage for settings of the loop, of policies and of editing that do not go together or
// that a network of `layers` layers cannot follow on these maps, and fills in those of editing.
void CompleteNextScaleSettings(Request& request, std::span<const TokenMap> maps, int64_t layers);

// Throws kUsage for a negative prompt where guidance has the strength `none` at every scale.
void CheckNegativePrompt(const Request& request, double none);

// Throws kConfig, naming the file, where a folder presets what its model cannot do.
void CheckPresets(const PictureModel& model, const std::filesystem::path& folder);

// Everything but guidance, of a checked request.
NextScaleOptions OptionsOf(const Request& request, int64_t scales);

// One number for all scales, or one for each. Throws kUsage, naming the field, for another number
// of them.
std::vector<double> ForScales(const PerScale& setting, int64_t scales, std::string_view field);

// How pictures of the request's size are decoded: in one piece up to about a million pixels. The
// decoder makes `stride` pixels a side of a latent. Throws kUsage for tiles that it cannot make.
autoencoder::Tiling TilingOf(const Request& request, int64_t stride);

// A completed request that says nothing of how to decode, with smaller and smaller tiles.
std::vector<TiledSettings> InDecoderTiles(const Request& request, int64_t stride);

// The most that keys and values take in a network whose layers keep them of `width` for `rows`
// rows, `type` each.
int64_t KeyBytes(const cache::Policy& policy, std::span<const TokenMap> maps, int64_t layers,
                 int64_t rows, int64_t width, DType type);

// A picture that is painted anew in a part.
struct Edit {
  EditedPicture picture;
  Tensor tokens;  // [1, choices of all scales] i32: the whole picture's
  Tensor keep;    // like tokens: 1 for those that are given
};

// What the batches of a request share.
struct NextScaleJob {
  const Request& request;
  Device device;
  cache::Policy policy;  // or none
  NextScaleOptions options;
  std::optional<Edit> edit = std::nullopt;

  std::unique_ptr<Hooks> MakeHooks() const { return policy ? policy() : nullptr; }
  bool guided() const;  // at any scale
};
NextScaleJob PrepareNextScaleJob(const Request& request, int64_t scales, Device device);

class NextScaleBatch : public PictureBatch {
 public:
  // Of latents of which the decoder makes `stride` pixels a side each.
  NextScaleBatch(const NextScaleJob& job, int64_t stride) : stride_(stride) { Rebind(job); }

  int64_t ArenaBytes() override;
  std::vector<Image> Run(Context& ctx, int64_t first, GenerateObserver& observer) override;

  // The most that keys and values took in ArenaBytes or Run.
  int64_t peak_key_bytes() const { return peak_key_bytes_; }

 protected:
  virtual ScaleModel& model() = 0;
  virtual size_t KeyBytesNow() const = 0;
  // [B, C, H, W] of what was chosen so far, on the arena.
  virtual View Decode(Context& ctx) = 0;

  // The same by `vae` from `latents` [B, H, W, Z], whose memory stays where it is.
  template <class Vae>
  View DecodeBy(const Vae& vae, Context& ctx, ConstView latents) {
    const View picture = ctx.arena->Alloc(vae.PictureShape(latents.shape), DType::kF32);
    decodings_.Run(ctx, latents, picture, [&] { vae.Decode(ctx, latents, picture, tiling_); },
                   {tiling_.tile, tiling_.overlap});
    return picture;
  }
  // Pictures of this job from now on.
  void Rebind(const NextScaleJob& job);

 private:
  void Sample(Context& ctx, const TokenNoise& noise, const NextScaleObserver& observer);
  std::vector<Image> Show(Context& ctx);

  int64_t stride_;
  const NextScaleJob* job_ = nullptr;
  autoencoder::Tiling tiling_;
  int64_t peak_key_bytes_ = 0;
  Replayer decodings_;
};

// The size of a picture and the memory that it takes, as gesso info tells them.
Json DescribePicture(const Request& resolved, NextScaleBatch& batch);

}  // namespace gesso
