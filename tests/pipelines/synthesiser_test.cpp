// Songs as sound: what is looked for, what is run, and how it is stopped. Programs that note how
// they were called stand in for fluidsynth; where it is installed, a song is rendered for real.
#include "pipelines/media/midi/synthesiser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "models/io/json.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

MidiFile PopSong() { return ReadMidi(fs::path(GESSO_SOURCE_DIR) / "tests/data/midi/pop.mid"); }

class SynthesiserTest : public ::testing::Test {
 protected:
  // A program of that name whose shell script is `body`.
  Synthesiser Program(const std::string& body) const {
    const fs::path program = folder_.Write("fluidsynth", "#!/bin/sh\n" + body);
    fs::permissions(program, fs::perms::owner_all);
    return {program, folder_.Write("a b.sf2", "")};
  }
  fs::path log() const { return folder_.path() / "log"; }

  const TempFolder folder_;
};

TEST_F(SynthesiserTest, IsLookedForInPathAndFolders) {
  const fs::path bin = folder_.path() / "bin";
  const fs::path fonts = folder_.path() / "fonts";
  fs::create_directories(bin);
  fs::create_directories(fonts);
  const std::string path = "/nowhere::" + bin.string();
  const auto why = [&] { return FindSynthesiser(path, {"/nowhere", fonts}).why_not; };
  EXPECT_THAT(why(), HasSubstr("fluidsynth, which is not installed"));
  folder_.Write("bin/fluidsynth", "");
  EXPECT_THAT(why(), HasSubstr("fluidsynth, which is not installed"));  // no program yet
  fs::permissions(bin / "fluidsynth", fs::perms::owner_all);
  EXPECT_THAT(why(), HasSubstr("/nowhere and " + fonts.string()));
  folder_.Write("fonts/readme.txt", "");
  fs::create_symlink("gone.sf2", fonts / "broken.sf2");
  EXPECT_THAT(why(), HasSubstr("needs a soundfont"));
  folder_.Write("fonts/b.sf2", "");
  folder_.Write("fonts/a.SF3", "");
  const auto found = [&] { return FindSynthesiser(path, {"/nowhere", fonts}).found.value(); };
  EXPECT_EQ(found().program, bin / "fluidsynth");
  EXPECT_EQ(found().soundfont, fonts / "a.SF3");
  fs::create_symlink("b.sf2", fonts / "default-GM.sf2");
  EXPECT_EQ(found().soundfont, fonts / "default-GM.sf2");
  EXPECT_EQ(why(), "");
}

TEST_F(SynthesiserTest, RendersByAProgramThatNoShellCalls) {
  // It notes its arguments, one a line, and makes the file behind -F of the song's bytes.
  const Synthesiser program =
      Program("printf '%s\\n' \"$@\" >'" + log().string() +
              "'\nwhile [ \"$1\" != -F ]; do shift; done\ncp \"$4\" \"$2\"\n");
  const fs::path wav = folder_.path() / "out $(x).wav";
  RenderSong(program, PopSong(), wav, false);
  EXPECT_EQ(ParseMidi(ReadFile(wav, 1 << 20), "song"), PopSong());
  EXPECT_THAT(ReadFile(log(), 1 << 20), HasSubstr("\n" + program.soundfont.string() + "\n"));
  ExpectError(ErrorKind::kOutput, {"exists"}, [&] { RenderSong(program, PopSong(), wav, false); });
}

TEST_F(SynthesiserTest, AFailureSaysWhatTheProgramSaid) {
  const fs::path wav = folder_.path() / "out.wav";
  const Synthesiser failing = Program("echo 'no such preset' >&2\nexit 3\n");
  ExpectError(ErrorKind::kOutput, {"out.wav", "no such preset"},
              [&] { RenderSong(failing, PopSong(), wav, false); });
  EXPECT_FALSE(fs::exists(wav));
  SongPlayer player(failing, PopSong());
  ExpectError(ErrorKind::kDevice, {"no such preset"}, [&] {
    while (player.IsPlaying()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  EXPECT_FALSE(player.IsPlaying());
  ExpectError(ErrorKind::kOutput, {"out.wav", "it says nothing"},
              [&] { RenderSong(Program("exit 0\n"), PopSong(), wav, false); });  // no file
  ExpectError(ErrorKind::kDevice, {"/nix/fluidsynth"}, [&] {
    SongPlayer({"/nix/fluidsynth", failing.soundfont}, PopSong());
  });
}

TEST_F(SynthesiserTest, StopsWithItsPlayer) {
  const Synthesiser endless = Program("echo $$ >'" + log().string() + "'\nexec sleep 1000\n");
  pid_t process = 0;
  {
    SongPlayer player(endless, PopSong());
    while (!fs::exists(log()) || fs::file_size(log()) == 0) {
      ASSERT_TRUE(player.IsPlaying());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    process = static_cast<pid_t>(std::stol(ReadFile(log(), 100)));
    EXPECT_EQ(kill(process, 0), 0);
  }
  EXPECT_NE(kill(process, 0), 0);  // it is gone, and was waited for
  SongPlayer brief(Program("exit 0\n"), PopSong());
  while (brief.IsPlaying()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(Synthesiser, RendersASongForReal) {
  const SynthesiserSearch search = FindSynthesiser();
  if (!search.found) GTEST_SKIP() << search.why_not;
  const TempFolder folder;
  RenderSong(*search.found, PopSong(), folder.path() / "pop.wav", false);
  const std::string wav = ReadFile(folder.path() / "pop.wav", size_t{1} << 28);
  ASSERT_GT(wav.size(), 44u);
  EXPECT_EQ(wav.substr(0, 4) + wav.substr(8, 4), "RIFFWAVE");
  // Eight bars in 4/4; 16 bit stereo at 44.1 kHz, and what fades away after the last note.
  std::vector<int16_t> samples((wav.size() - 44) / 2);
  std::memcpy(samples.data(), wav.data() + 44, samples.size() * 2);
  double power = 0;
  for (const int16_t sample : samples) power += double{1} * sample * sample;
  EXPECT_GT(std::sqrt(power / static_cast<double>(samples.size())), 300);
  EXPECT_GT(samples.size() / 2, size_t{44100} * 8);
  EXPECT_LT(samples.size() / 2, size_t{44100} * 60);
}

}  // namespace
}  // namespace gesso
