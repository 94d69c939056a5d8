// CHECK ends the process on a bug of ours. Never used on input: input errors are values.
#pragma once
#include <cstdio>
#include <cstdlib>

#define ZVM_CHECK(cond)                                                                  \
  do {                                                                                   \
    if (!(cond)) {                                                                       \
      std::fprintf(stderr, "%s:%d: bug: check failed: %s\n", __FILE__, __LINE__, #cond); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
