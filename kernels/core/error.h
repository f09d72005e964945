// The one exception class of the project: a kind, a message and a chain of contexts.
// Caught in three places only: the command line, the engine's worker and tests.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>

namespace gesso {

enum class ErrorKind {
  kUsage,        // a wrong flag or request field
  kConfig,       // a model's configuration is inconsistent or unknown
  kIo,           // an input cannot be read
  kFormat,       // an input is not what its name says
  kShape,        // tensors do not fit together
  kUnsupported,  // valid, but not something this build can do
  kMemory,       // not enough memory
  kDevice,       // the device is missing or failed
  kOutput,       // a result cannot be written
  kCancelled,    // interrupted by the user
  kInternal,     // a bug in gesso
};

// Process exit code of an error kind: 2 usage, 3 bad or unsupported input, 4 memory, 5 device,
// 6 output not written, 130 interrupted, 1 anything else.
int ExitCode(ErrorKind kind);

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

  ErrorKind kind() const { return kind_; }
  const char* what() const noexcept override { return message_.c_str(); }

  // Puts "context: " before the message, outermost last to be added.
  void AddContext(const std::string& context) { message_ = context + ": " + message_; }

 private:
  ErrorKind kind_;
  std::string message_;
};

template <class... T>
[[noreturn]] void Fail(ErrorKind kind, fmt::format_string<T...> format, T&&... args) {
  throw Error(kind, fmt::format(format, std::forward<T>(args)...));
}

// Throws Error(kind) unless `condition` holds. For what a caller or a file can cause.
template <class... T>
void Require(bool condition, ErrorKind kind, fmt::format_string<T...> format, T&&... args) {
  if (!condition) [[unlikely]] {
    Fail(kind, format, std::forward<T>(args)...);
  }
}

// Runs `body`; an Error passing through gets `context` put before its message.
template <class Body>
auto WithContext(const std::string& context, Body&& body) {
  try {
    return body();
  } catch (Error& error) {
    error.AddContext(context);
    throw;
  }
}

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace gesso

// What only a bug in gesso can cause. DCHECK is compiled out of release builds.
#define CHECK(condition)                                    \
  do {                                                      \
    if (!(condition)) [[unlikely]]                          \
      ::gesso::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
#ifdef NDEBUG
#define DCHECK(condition) static_cast<void>(0)
#else
#define DCHECK(condition) CHECK(condition)
#endif
