# Compiler options shared by every target: warnings are errors, hardening is on.
find_package(PkgConfig REQUIRED)
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g1")
set(CMAKE_C_FLAGS_DEBUG "-Og -g1")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1")

add_library(zvm_options INTERFACE)
target_compile_options(zvm_options INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers
  -fstack-protector-strong -fstack-clash-protection -fcf-protection)
target_compile_definitions(zvm_options INTERFACE _GNU_SOURCE _GLIBCXX_ASSERTIONS ZVM_VERSION="${PROJECT_VERSION}")
target_include_directories(zvm_options INTERFACE ${PROJECT_SOURCE_DIR})
if(NOT ZVM_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(zvm_options INTERFACE _FORTIFY_SOURCE=3)
endif()
target_link_options(zvm_options INTERFACE -Wl,-z,relro,-z,now)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12's own stable_partition uses what it deprecates.
  target_compile_options(zvm_options INTERFACE -Wno-unused-command-line-argument -Wno-deprecated-declarations)
else()
  # GCC 12 reports uninitialised members of moved-from std::variant/optional inside coroutine frames.
  target_compile_options(zvm_options INTERFACE -Wno-maybe-uninitialized)
endif()

# The loader is static and must not carry a sanitizer runtime into the jail, so sanitizers are a
# target of their own that everything else links.
add_library(zvm_sanitize INTERFACE)
if(ZVM_SANITIZE)
  target_compile_options(zvm_sanitize INTERFACE -fsanitize=${ZVM_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(zvm_sanitize INTERFACE -fsanitize=${ZVM_SANITIZE})
endif()
if(ZVM_FUZZ)
  target_compile_options(zvm_sanitize INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(zvm_sanitize INTERFACE -fsanitize=fuzzer-no-link)
endif()
