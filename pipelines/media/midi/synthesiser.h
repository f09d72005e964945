// Songs as sound, by the program fluidsynth and a soundfont, where a machine has both.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/media/midi/midi_file.h"
#include "pipelines/scratch_folder.h"

namespace gesso {

struct Synthesiser {
  std::filesystem::path program;
  std::filesystem::path soundfont;
};

struct SynthesiserSearch {
  std::optional<Synthesiser> found;
  std::string why_not;  // what is missing and how to get it, where nothing was found
};

// Looks for fluidsynth in the folders of `path` (those of the variable PATH, separated by colons)
// and for a soundfont (.sf2, .sf3) in `folders`: the one that the system names default-GM, or else
// the first by name.
SynthesiserSearch FindSynthesiser();
SynthesiserSearch FindSynthesiser(const std::string& path,
                                  const std::vector<std::filesystem::path>& folders);
// As found, or throws kUnsupported with what is missing.
Synthesiser RequireSynthesiser();

// Writes the song as a WAV file, 16 bit stereo, whole or not at all. Throws kOutput as CheckOutput
// does and where the program fails, with its words.
void RenderSong(const Synthesiser& synthesiser, const MidiFile& song,
                const std::filesystem::path& path, bool overwrite);

// A song that sounds, from the program's start to its end. One process of its own.
class SongPlayer {
 public:
  // Throws kOutput where the song cannot be handed over, kDevice where the program does not start.
  SongPlayer(const Synthesiser& synthesiser, const MidiFile& song);
  ~SongPlayer();  // stops
  SongPlayer(const SongPlayer&) = delete;
  SongPlayer& operator=(const SongPlayer&) = delete;

  // Whether it still sounds. Throws kDevice, once, where the program has failed, with its words.
  bool IsPlaying();

 private:
  ScratchFolder folder_;
  pid_t process_ = 0;  // 0: it has ended
};

}  // namespace gesso
