// What tests of readers need: a folder that goes away, files made of text, and checks of the kind
// and the words of an Error.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "kernels/core/error.h"
#include "models/io/file_bytes.h"

namespace gesso {

// A new, empty folder for the life of the object.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "gesso-test-XXXXXX").string();
    CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path Write(const std::string& name, std::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

// `content` as if it were a mapped file, in memory of exactly its size, so that a sanitizer sees
// any byte read beyond it. Aligned as a mapping is.
inline FileBytes InMemory(std::string_view content, const std::string& name = "test.file") {
  std::shared_ptr<std::byte> memory(
      static_cast<std::byte*>(::operator new (content.size(), std::align_val_t{64})),
      [](std::byte* bytes) { ::operator delete (bytes, std::align_val_t{64}); });
  std::ranges::copy(std::as_bytes(std::span(content)), memory.get());
  return {name, memory, {memory.get(), content.size()}};
}

// `body` must throw an Error of this kind whose message has all of `words`.
inline void ExpectError(ErrorKind kind, const std::vector<std::string>& words,
                        const std::function<void()>& body) {
  try {
    body();
    FAIL() << "no error; expected one with '" << (words.empty() ? "" : words.front()) << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    for (const std::string& word : words) EXPECT_THAT(error.what(), testing::HasSubstr(word));
  }
}

// `body` may succeed or throw an Error; anything else that it throws fails the test.
inline void ExpectSuccessOrError(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error&) {
    SUCCEED();
  } catch (const std::exception& error) {
    FAIL() << "not a gesso::Error: " << error.what();
  }
}

}  // namespace gesso
