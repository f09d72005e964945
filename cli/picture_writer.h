// What `gesso generate` does with the work's news: progress and previews while a picture is being
// made, then the file itself.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cli/output_names.h"
#include "cli/terminal.h"
#include "pipelines/generator.h"

namespace gesso {

struct WriterOptions {
  std::string output;
  bool overwrite = false;
  bool grid = false;  // all pictures on one sheet
  bool json = false;
  std::string preview;  // a file, or nothing
  int64_t preview_every = 5;
  std::vector<std::string> inputs;  // files that the jobs come from
};

class PictureWriter : public GenerateObserver {
 public:
  // For the pictures of `jobs`, which are resolved. Throws kUsage and kOutput for what cannot be
  // written later on.
  PictureWriter(const WriterOptions& options, const std::vector<Request>& jobs);

  // Throw kCancelled after an interruption.
  void OnStep(const StepReport& step) override;
  void OnPicture(const Picture& picture) override;

  // Writes the sheet with the pictures there are, if there is to be one.
  void Finish();

 private:
  void ShowProgress(const StepReport& step);
  void WritePreview(const std::vector<Image>& images);
  void ShowLast(const Image& image);
  void RefusePreviewOver(const std::filesystem::path& file, std::string_view what) const;
  void CheckPreview(const std::vector<Request>& jobs) const;
  void Write(const Image& image, const std::vector<Request>& settings);
  std::string StepsOf(const Request& request) const;
  void Report(const std::string& path, const Image& image, const std::vector<Request>& settings);

  WriterOptions options_;
  int64_t total_;
  OutputNames names_;
  const PictureFormat* preview_format_ = nullptr;  // where there is a file for previews
  ProgressBar progress_;
  std::chrono::steady_clock::time_point last_time_;
  int64_t done_ = 0;             // pictures
  int64_t written_ = 0;          // files
  int64_t steps_ = 0;            // of the pictures being made
  int64_t taken_ = 0;            // steps of those made last
  int64_t together_ = 0;         // pictures being made
  bool shown_ = false;           // whether the preview shows the latest step
  std::vector<Image> finished_;  // of those together, where the preview does not show them yet
  std::vector<Image> sheet_;
  std::vector<Request> sheet_settings_;
};

}  // namespace gesso
