// The plain data of one job. The same fields are the JSON of a prompt file, the metadata of a
// picture or clip and the flags of `gesso generate` and `gesso video`: VisitFields declares each of
// them once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/dtype.h"
#include "models/io/json.h"

namespace gesso {

// Noise levels sigma, both ends included.
struct Interval {
  double low = 0;
  double high = 0;
  bool operator==(const Interval&) const = default;
};

// One number for all scales of a next-scale model, or one for each.
struct PerScale {
  std::vector<double> values;
  bool operator==(const PerScale&) const = default;
};

// Pixels by which a canvas is larger than its picture on each side.
struct Margins {
  int64_t left = 0;
  int64_t top = 0;
  int64_t right = 0;
  int64_t bottom = 0;
  bool operator==(const Margins&) const = default;
};

// A field without a value is filled in from the model's defaults.
struct Request {
  std::optional<std::string> model;
  std::optional<std::string> prompt;
  std::optional<std::string> negative_prompt;
  std::optional<int64_t> class_label;
  std::optional<int64_t> width;
  std::optional<int64_t> height;
  std::optional<int64_t> steps;
  std::optional<double> cfg_scale;
  std::optional<PerScale> cfg_per_scale;
  std::optional<double> cfg_rescale;
  std::optional<Interval> guidance_interval;
  std::optional<std::string> sampling_method;
  std::optional<std::string> scheduler;
  std::optional<PerScale> temperature;
  std::optional<int64_t> top_k;
  std::optional<double> top_p;
  std::optional<bool> more_smooth;
  std::optional<std::string> cache;
  std::optional<uint64_t> seed;
  std::optional<int64_t> batch_count;
  std::optional<std::string> init_image;
  std::optional<double> strength;
  std::optional<std::string> mask;
  std::optional<Margins> outpaint;
  std::optional<bool> mask_invert;
  std::optional<int64_t> mask_grow;
  std::optional<int64_t> mask_blur;
  std::optional<bool> only_masked;
  std::optional<int64_t> mask_padding;
  std::optional<std::string> masked_content;
  std::optional<std::string> inpaint;
  std::optional<int64_t> tile_size;
  std::optional<int64_t> tile_overlap;
  std::optional<int64_t> vae_tile_size;
  std::optional<int64_t> frames;
  std::optional<double> fps;
  std::optional<std::string> prompt_schedule;
  std::optional<int64_t> overlap;
  std::optional<int64_t> interpolate;
  std::optional<bool> loop;
  std::optional<std::string> dtype;

  bool operator==(const Request&) const = default;
};

// What a field is about.
enum class Medium { kAny, kPicture, kClip };

struct FieldInfo {
  std::string_view name;   // the JSON key
  std::string_view flags;  // the spelling on the command line; none for what is no flag
  std::string_view help;
  double low = 0;  // range of a number, both ends included
  double high = 0;
  Medium medium = Medium::kAny;
};

// Calls visit(FieldInfo, field) for every field; R is Request or const Request.
template <class R, class Visitor>
void VisitFields(R& request, const Visitor& visit) {
  visit(FieldInfo{"model", "-m,--model", "Installed model or path of one"}, request.model);
  visit(FieldInfo{"prompt", "", "What the picture shows"}, request.prompt);
  visit(FieldInfo{"negative_prompt", "-n,--negative-prompt", "What guidance leads away from"},
        request.negative_prompt);
  visit(FieldInfo{"class_label", "--class-label", "Class of a class-conditional model", 0, 1e9},
        request.class_label);
  visit(FieldInfo{"width", "-W,--width", "Width in pixels", 1, 16384}, request.width);
  visit(FieldInfo{"height", "-H,--height", "Height in pixels", 1, 16384}, request.height);
  visit(FieldInfo{"steps", "--steps", "Number of sampling steps", 1, 10000}, request.steps);
  visit(
      FieldInfo{"cfg_scale", "--cfg-scale",
                "Strength of guidance; none is 1, for VAR 0 (with the others 0 ignores the prompt)",
                -1000, 1000},
      request.cfg_scale);
  visit(FieldInfo{"cfg_per_scale", "--cfg-per-scale",
                  "Strength of guidance at each scale of a next-scale model, as 1,2,3,...", -1000,
                  1000, Medium::kPicture},
        request.cfg_per_scale);
  visit(FieldInfo{"cfg_rescale", "--cfg-rescale",
                  "How far guided contrast is brought back to the unguided one", 0, 1},
        request.cfg_rescale);
  visit(FieldInfo{"guidance_interval", "--guidance-interval",
                  "Noise levels LOW,HIGH between which guidance acts", 0, 1e9},
        request.guidance_interval);
  visit(FieldInfo{"sampling_method", "--sampling-method",
                  "Sampler, with options as NAME:eta=0.5,order=3 (see gesso models)"},
        request.sampling_method);
  visit(FieldInfo{"scheduler", "--scheduler",
                  "Schedule of noise levels, with options as NAME:rho=5 (see gesso models)"},
        request.scheduler);
  visit(FieldInfo{"temperature", "--temperature",
                  "Evenness of the likelihood that tokens are drawn by; one number, or one a scale",
                  0, 1000, Medium::kPicture},
        request.temperature);
  visit(FieldInfo{"top_k", "--top-k", "Likeliest tokens among which each is drawn; 0 = all", 0, 1e9,
                  Medium::kPicture},
        request.top_k);
  visit(FieldInfo{"top_p", "--top-p",
                  "Share of the likelihood among which each token is drawn; 0 = all", 0, 1,
                  Medium::kPicture},
        request.top_p);
  visit(FieldInfo{"more_smooth", "--more-smooth",
                  "Mixtures of codes in place of the tokens drawn (VAR): smoother, less faithful",
                  0, 0, Medium::kPicture},
        request.more_smooth);
  visit(FieldInfo{"cache", "--cache",
                  "Policies that save work, as NAME:key=value or NAME+NAME (see gesso models)", 0,
                  0, Medium::kPicture},
        request.cache);
  visit(FieldInfo{"seed", "-s,--seed", "Seed of the noise; chosen and printed if absent", 0,
                  18446744073709551615.0},
        request.seed);
  visit(FieldInfo{"batch_count", "-b,--batch-count", "Pictures a prompt; picture i uses seed+i", 1,
                  10000, Medium::kPicture},
        request.batch_count);
  visit(FieldInfo{"init_image", "-i,--init-img,--image",
                  "Picture to start from (PNG, JPEG or WebP); of a clip the first frame"},
        request.init_image);
  visit(FieldInfo{"strength", "--strength",
                  "Share of the noise put on --init-img: 0 keeps it, 1 ignores it", 0, 1,
                  Medium::kPicture},
        request.strength);
  visit(FieldInfo{"mask", "--mask",
                  "Picture of the size of --init-img: white is painted anew, black kept, grey soft",
                  0, 0, Medium::kPicture},
        request.mask);
  visit(FieldInfo{"outpaint", "--outpaint",
                  "Pixels LEFT,TOP,RIGHT,BOTTOM to paint beyond the picture's border", 0, 16384,
                  Medium::kPicture},
        request.outpaint);
  visit(FieldInfo{"mask_invert", "--mask-invert", "Paint where the mask is black", 0, 0,
                  Medium::kPicture},
        request.mask_invert);
  visit(FieldInfo{"mask_grow", "--mask-grow", "Pixels by which the mask is grown, or shrunk if < 0",
                  -1024, 1024, Medium::kPicture},
        request.mask_grow);
  visit(FieldInfo{"mask_blur", "--mask-blur",
                  "Pixels (standard deviation) by which the mask is softened", 0, 1024,
                  Medium::kPicture},
        request.mask_blur);
  visit(FieldInfo{"only_masked", "--only-masked",
                  "Work on the part round the mask alone, at the model's own size", 0, 0,
                  Medium::kPicture},
        request.only_masked);
  visit(FieldInfo{"mask_padding", "--mask-padding",
                  "Pixels of the picture that --only-masked sees round the mask; 32 if absent", 0,
                  16384, Medium::kPicture},
        request.mask_padding);
  visit(FieldInfo{"masked_content", "--masked-content",
                  "What is there before the paint: keep, blur (what is around), noise or #rrggbb",
                  0, 0, Medium::kPicture},
        request.masked_content);
  visit(FieldInfo{"inpaint", "--inpaint",
                  "How a part is painted anew, with options as NAME:jump_length=5 (see gesso "
                  "models)",
                  0, 0, Medium::kPicture},
        request.inpaint);
  visit(FieldInfo{"tile_size", "--tile-size",
                  "Side in pixels of overlapping tiles that diffusion works in; 0 = whole", 0,
                  16384, Medium::kPicture},
        request.tile_size);
  visit(FieldInfo{"tile_overlap", "--tile-overlap",
                  "Pixels that neighbouring tiles share at least; a quarter of a tile if absent", 0,
                  16384, Medium::kPicture},
        request.tile_overlap);
  visit(
      FieldInfo{"vae_tile_size", "--vae-tile-size",
                "Side in pixels of the tiles that next-scale models decode a picture in; 0 = whole",
                0, 16384, Medium::kPicture},
      request.vae_tile_size);
  visit(FieldInfo{"frames", "--frames", "Frames of the clip", 1, 1e6, Medium::kClip},
        request.frames);
  visit(FieldInfo{"fps", "--fps", "Frames a second", 0.01, 1000, Medium::kClip}, request.fps);
  visit(FieldInfo{"prompt_schedule", "--prompt-schedule",
                  "Prompts by the frame from which each holds, as \"0:a cat|24:a dog\"", 0, 0,
                  Medium::kClip},
        request.prompt_schedule);
  visit(FieldInfo{"overlap", "--overlap",
                  "Frames that parts of a long clip share; a quarter of a part if absent", 1, 1000,
                  Medium::kClip},
        request.overlap);
  visit(
      FieldInfo{"interpolate", "--interpolate",
                "Frames painted between each two; the rate rises with them", 0, 100, Medium::kClip},
      request.interpolate);
  visit(FieldInfo{"loop", "--loop", "The last frame leads back to the first", 0, 0, Medium::kClip},
        request.loop);
  visit(FieldInfo{"dtype", "--dtype", "Arithmetic of the network: float32 or bfloat16"},
        request.dtype);
}

// The request as a JSON object of the fields that have a value, and back. Reading throws kUsage,
// naming `source` and the field, for unknown fields, wrong types, values out of range and text
// that is not UTF-8.
Json ToJson(const Request& request);
Request RequestFromJson(const Json& json, const std::string& source);

// Sets one field from its text on the command line or in the environment; checks as above.
// `name` is how the user spelt it in messages.
void SetField(Request& request, std::string_view field, const std::string& text,
              const std::string& name);

// `base` with every field replaced that `over` has a value for. Of two fields that say the same in
// two ways (cfg_scale and cfg_per_scale, prompt and prompt_schedule) the one in `over` takes the
// place of the other in `base`.
Request Merge(const Request& base, const Request& over);

// Throws kUsage where a request has both of two such fields.
void RefuseAlternatives(const Request& request);

// The settings as text in the form that A1111, ComfyUI and their readers use: prompt, negative
// prompt, then "Steps: 20, Sampler: ..., CFG scale: ..., Seed: ..., Size: 64x64, Model: ...".
std::string ParametersText(const Request& request);

// The arithmetic that `name` stands for: float32 or bfloat16. Throws kUsage.
DType ParseDType(std::string_view name);

// Throws kUsage, naming `what` and the offset, unless `text` is UTF-8 (RFC 3629) without NUL.
void RequireUtf8(std::string_view text, const std::string& what);

}  // namespace gesso
