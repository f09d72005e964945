#include "models/io/printable.h"

#include <gtest/gtest.h>

namespace gesso {
namespace {

TEST(Printable, ReplacesWhatTerminalsObey) {
  EXPECT_EQ(Printable("a\x1b[31m\x07\x7f"), "a?[31m??");
  EXPECT_EQ(Printable("a\xc2\x9b"
                      "31m\xc2\xa0\xc3\x9f"),
            "a??31m\xc2\xa0\xc3\x9f");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace gesso
