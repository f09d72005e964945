#include <cstdio>

int main() {
  std::puts("gesso");
  return 0;
}
