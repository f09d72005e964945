#include "kernels/core/error.h"

namespace gesso {

int ExitCode(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kConfig:
    case ErrorKind::kIo:
    case ErrorKind::kFormat:
    case ErrorKind::kShape:
    case ErrorKind::kUnsupported:
      return 3;
    case ErrorKind::kMemory:
      return 4;
    case ErrorKind::kDevice:
      return 5;
    case ErrorKind::kOutput:
      return 6;
    case ErrorKind::kCancelled:
      return 130;
    case ErrorKind::kInternal:
      return 1;
  }
  return 1;
}

void CheckFailed(const char* file, int line, const char* condition) {
  Fail(ErrorKind::kInternal, "{}:{}: check failed: {} (this is a bug in gesso)", file, line,
       condition);
}

}  // namespace gesso
