#include "loader/copy_tree.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace zvm::loader {

namespace {

constexpr int kMaxDepth = 8;

struct DirEntry {  // linux_dirent64
  uint64_t ino;
  int64_t off;
  uint16_t size;
  uint8_t type;
  char name[];
};

bool matches(const char* name, const char* const* patterns, size_t count) noexcept {
  for (size_t i = 0; i < count; ++i) {
    const size_t n = std::strlen(patterns[i]);
    if (n > 0 && patterns[i][n - 1] == '*') {
      if (std::strncmp(name, patterns[i], n - 1) == 0) return true;
    } else if (std::strcmp(name, patterns[i]) == 0) {
      return true;
    }
  }
  return false;
}

int copy_file(
    int from, int to, const char* name, const struct stat& st, CopyBudget* budget) noexcept {
  if (static_cast<uint64_t>(st.st_size) > budget->bytes) return -E2BIG;
  budget->bytes -= static_cast<uint64_t>(st.st_size);
  const UniqueFd source(::openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!source) return -errno;
  const mode_t mode = (st.st_mode & S_IXOTH) ? 0755 : 0644;
  const UniqueFd target(::openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!target) return -errno;
  for (auto left = static_cast<size_t>(st.st_size); left > 0;) {
    const ssize_t n = ::sendfile(target.get(), source.get(), nullptr, left);
    if (n < 0) return -errno;
    if (n == 0) break;  // the host cut the file meanwhile
    left -= static_cast<size_t>(n);
  }
  return 0;
}

int copy_folder(int from, int to, const char* const* patterns, size_t count, int depth,
    CopyBudget* budget) noexcept;

int copy_entry(int from, int to, const char* name, int depth, CopyBudget* budget) noexcept {
  struct stat st;
  if (::fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : -errno;
  if (budget->files == 0) return -E2BIG;
  --budget->files;
  if (S_ISLNK(st.st_mode)) {
    char target[4096];
    const ssize_t n = ::readlinkat(from, name, target, sizeof target - 1);
    if (n < 0) return -errno;
    target[n] = '\0';
    return ::symlinkat(target, to, name) < 0 ? -errno : 0;
  }
  // SECURITY: the launcher may read as root what the job must not see.
  if ((st.st_mode & S_IROTH) == 0) return 0;
  if (S_ISREG(st.st_mode)) return copy_file(from, to, name, st, budget);
  if (!S_ISDIR(st.st_mode) || (st.st_mode & S_IXOTH) == 0) return 0;
  if (depth == kMaxDepth) return -E2BIG;
  const UniqueFd sub_from(::openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!sub_from) return -errno;
  if (::mkdirat(to, name, 0755) < 0) return -errno;
  const UniqueFd sub_to(::openat(to, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!sub_to) return -errno;
  return copy_folder(sub_from.get(), sub_to.get(), nullptr, 0, depth + 1, budget);
}

// patterns == nullptr: everything.
int copy_folder(int from, int to, const char* const* patterns, size_t count, int depth,
    CopyBudget* budget) noexcept {
  alignas(8) char buffer[2048];
  for (;;) {
    const long n = ::syscall(SYS_getdents64, from, buffer, sizeof buffer);
    if (n < 0) return -errno;
    if (n == 0) return 0;
    for (long at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const DirEntry*>(buffer + at);
      at += entry->size;
      if (std::strcmp(entry->name, ".") == 0 || std::strcmp(entry->name, "..") == 0) continue;
      if (patterns != nullptr && !matches(entry->name, patterns, count)) continue;
      if (int r = copy_entry(from, to, entry->name, depth, budget); r < 0) return r;
    }
  }
}

}  // namespace

int copy_matching(
    FdRef from, FdRef to, const char* const* patterns, size_t count, CopyBudget* budget) noexcept {
  const UniqueFd folder(::openat(from.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return -errno;
  return copy_folder(folder.get(), to.fd, patterns, count, 0, budget);
}

}  // namespace zvm::loader
