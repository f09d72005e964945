#include "pipelines/media/midi/key.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <regex>
#include <tuple>

#include "kernels/core/error.h"

namespace gesso {

namespace {

constexpr int kOctave = 12;
constexpr int kHighestPitch = 127;
constexpr int kToRelativeMajor = 3;  // semitones up from a minor tonic

// How likely pitch classes above the tonic are. The triad stands out, what the scale does not have
// is rare, and minor has its leading tone beside the natural seventh.
using Profile = std::array<double, kOctave>;
constexpr double kRare = 0.03;
constexpr Profile kMajor = {1.3, kRare, 1, kRare, 1.15, 1, kRare, 1.15, kRare, 1, kRare, 1};
constexpr Profile kMinor = {1.3, kRare, 1, 1.15, kRare, 1, kRare, 1.15, 1, kRare, 1, 0.3};

int PitchClass(int pitch) { return (pitch % kOctave + kOctave) % kOctave; }

// Logarithm of the likelihood of `sounding`, the steps of each pitch class, in a key.
double Likelihood(const Profile& sounding, const Profile& profile, int tonic) {
  double sum = 0;
  for (const double weight : profile) sum += weight;
  double total = 0;
  for (int i = 0; i < kOctave; ++i) {
    const auto above = static_cast<size_t>(PitchClass(i - tonic));
    total += sounding[static_cast<size_t>(i)] * std::log(profile[above] / sum);
  }
  return total;
}

}  // namespace

int KeyOf(std::span<const RollNote> notes) {
  Profile sounding{};
  for (const RollNote& note : notes) {
    if (note.layer == RollLayer::kDrums) continue;
    sounding[static_cast<size_t>(PitchClass(note.pitch))] += static_cast<double>(note.length);
  }
  int best = 0;
  double most = Likelihood(sounding, kMajor, 0);
  for (int tonic = 0; tonic < kOctave; ++tonic) {
    for (const bool minor : {false, true}) {
      const double likelihood = Likelihood(sounding, minor ? kMinor : kMajor, tonic);
      if (likelihood <= most) continue;
      most = likelihood;
      best = minor ? PitchClass(tonic + kToRelativeMajor) : tonic;
    }
  }
  return best;
}

std::optional<int> KeyNamedIn(std::string_view prompt) {
  static const std::regex kKey(
      "\\b([a-g])(?:(#|♯|b|♭)|[ -](sharp|flat))?[ -](major|minor)\\b(?= *(.?))",
      std::regex::optimize);
  constexpr std::array<int, 7> kTonics = {9, 11, 0, 2, 4, 5, 7};  // of a .. g
  constexpr size_t kLongest = 4096;  // regular expressions of the library go as deep as texts
  std::string text(prompt.substr(0, kLongest));
  std::ranges::transform(text, text.begin(), [](unsigned char letter) {
    return static_cast<char>(std::tolower(letter));
  });
  std::optional<int> key;
  for (std::sregex_iterator match(text.begin(), text.end(), kKey), end; match != end; ++match) {
    const std::string letter = match->str(1);
    const std::string sign = match->str(2) + match->str(3);
    const std::string next = match->str(5);
    const bool may_be_article = letter == "a" && sign.empty();
    if (may_be_article && !next.empty() && std::ispunct(static_cast<unsigned char>(next[0])) == 0) {
      continue;
    }
    const int up = sign.empty() ? 0 : sign == "#" || sign == "♯" || sign == "sharp" ? 1 : -1;
    const int tonic = kTonics[static_cast<size_t>(letter[0] - 'a')] + up;
    key = PitchClass(match->str(4) == "minor" ? tonic + kToRelativeMajor : tonic);
  }
  return key;
}

int ShiftToC(std::span<const RollNote> notes, int key) {
  const auto cost = [&](int semitones) {
    const auto outside = std::ranges::count_if(notes, [&](const RollNote& note) {
      return note.layer != RollLayer::kDrums && !HasRollRow(note.pitch + semitones);
    });
    return std::tuple(outside, std::abs(semitones));
  };
  const int up = PitchClass(-key);
  return cost(up) <= cost(up - kOctave) ? up : up - kOctave;
}

std::vector<RollNote> Transposed(std::span<const RollNote> notes, int semitones) {
  std::vector<RollNote> moved(notes.begin(), notes.end());
  for (RollNote& note : moved) {
    if (note.layer == RollLayer::kDrums) continue;
    int pitch = note.pitch + semitones;
    if (pitch < 0) pitch += kOctave;
    if (pitch > kHighestPitch) pitch -= kOctave;
    note.pitch = static_cast<uint8_t>(pitch);
  }
  return moved;
}

}  // namespace gesso
