#include "models/io/zip_archive.h"

#include "tests/support/files.h"
#include "tests/support/zip.h"

namespace gesso {
namespace {

std::map<std::string, std::string> Read(const std::string& archive) {
  const FileBytes file = InMemory(archive);
  std::map<std::string, std::string> entries;
  const ZipDirectory directory = ReadZipDirectory(file.bytes);
  for (const auto& [name, entry] : directory) {
    entries[name] = AsText(*StoredEntry(directory, name));
  }
  return entries;
}

void ExpectRefused(const std::string& archive, const std::string& words,
                   ErrorKind kind = ErrorKind::kFormat) {
  ExpectError(kind, {words}, [&] { Read(archive); });
}

const std::vector<std::pair<std::string, std::string>> kEntries = {{"x/a", "first"}, {"x/b", ""}};

TEST(Zip, ReadsStoredEntriesWithAndWithoutZip64) {
  const std::map<std::string, std::string> expected(kEntries.begin(), kEntries.end());
  EXPECT_EQ(Read(MakeZip(kEntries)), expected);
  EXPECT_EQ(Read(MakeZip(kEntries, true)), expected);
  std::string commented = MakeZip(kEntries);
  commented[commented.size() - 2] = 3;
  EXPECT_EQ(Read(commented + "PK\5"), expected);
}

TEST(Zip, RefusesWhatTorchDoesNotWrite) {
  ExpectRefused(MakeZip({{"x", "data"}}, false, 8), "'x' is compressed", ErrorKind::kUnsupported);
  ExpectRefused(MakeZip({{"x", "data"}}, false, 0, 1), "'x' is encrypted", ErrorKind::kUnsupported);
  ExpectRefused(MakeZip({{"x", "1"}, {"x", "2"}}), "two entries are named 'x'");
}

TEST(Zip, RefusesTruncationAtEveryByte) {
  for (const bool zip64 : {false, true}) {
    const std::string archive = MakeZip(kEntries, zip64);
    for (size_t size = 0; size < archive.size(); ++size) {
      SCOPED_TRACE(size);
      ExpectRefused(archive.substr(0, size), "truncated download");
    }
  }
}

TEST(Zip, SurvivesAnyChangedByte) {
  for (const bool zip64 : {false, true}) {
    const std::string archive = MakeZip(kEntries, zip64);
    for (size_t at = 0; at < archive.size(); ++at) {
      for (const int value : {0, 1, 0x7f, 0x80, 0xfe, 0xff}) {
        std::string changed = archive;
        changed[at] = static_cast<char>(value);
        ExpectSuccessOrError([&] { Read(changed); });
      }
    }
  }
}

// The field at `offset` of the only entry's directory record, or of the end record, says something
// else than the rest of the file.
std::string Changed(size_t end_distance, int bytes, uint64_t value) {
  std::string archive = MakeZip({{"n", "data"}});
  archive.replace(archive.size() - end_distance, static_cast<size_t>(bytes),
                  LittleEndian(value, bytes));
  return archive;
}

TEST(Zip, RefusesInconsistentRecords) {
  const size_t entry = 22 + 46 + 1;  // the directory record's distance from the file's end
  ExpectRefused(Changed(entry - 42, 4, 1000), "entry 'n' lies outside");
  ExpectRefused(Changed(entry - 42, 4, 1), "entry 'n' is not where");
  ExpectRefused(Changed(entry - 46, 1, 'm'), "entry 'm' has another name");
  ExpectRefused(Changed(entry, 4, 7), "directory is damaged");
  ExpectRefused(Changed(entry - 28, 2, 500), "outside the file");
  ExpectRefused(Changed(22 - 16, 4, 2), "does not end where");
  ExpectRefused(Changed(22 - 10, 2, 2), "outside the file");
  ExpectRefused(Changed(22 - 10, 2, 0), "longer than its 0 entries");
  ExpectRefused(Changed(22 - 4, 2, 1), "split", ErrorKind::kUnsupported);
  ExpectRefused(Changed(22 - 16, 4, 0xffffffff), "the directory lies outside");
}

}  // namespace
}  // namespace gesso
