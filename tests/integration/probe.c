/* The program that the tests run in jails: its first argument says what it does. Static, so that it
 * also runs under the policy for single programs. Every verb reports what it saw on stdout. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  printf("%s: %s\n", what, strerror(errno));
  fflush(stdout);
  exit(99);
}

/* Adler-32, which the tests compute with zlib. */
struct sum {
  uint32_t a, b;
};

static void add(struct sum* sum, unsigned char byte) {
  sum->a = (sum->a + byte) % 65521;
  sum->b = (sum->b + sum->a) % 65521;
}

static uint32_t value(struct sum sum) {
  return sum.b << 16 | sum.a;
}

/* Adds what can be read from fd, at most `limit` bytes of it; the number of bytes. */
static uint64_t add_from(int fd, struct sum* sum, uint64_t limit) {
  uint64_t bytes = 0;
  static unsigned char buffer[1 << 16];
  while (limit) {
    const size_t want = limit < sizeof buffer ? limit : sizeof buffer;
    const ssize_t got = read(fd, buffer, want);
    if (got < 0) fail("read");
    if (got == 0) break;
    for (ssize_t i = 0; i < got; ++i) add(sum, buffer[i]);
    bytes += (uint64_t)got;
    limit -= (uint64_t)got;
  }
  return bytes;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void copy(int from, int to) {
  static char buffer[1 << 16];
  for (;;) {
    const ssize_t got = read(from, buffer, sizeof buffer);
    if (got < 0) fail("read");
    if (got == 0) return;
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = write(to, buffer + done, (size_t)(got - done));
      if (put < 0) fail("write");
      done += put;
    }
  }
}

/* The input through a mapping, back to front, with preads beside it. */
static void random_read(const char* path) {
  const int fd = open(path, O_RDONLY);
  if (fd < 0) fail("open");
  struct stat st;
  if (fstat(fd, &st)) fail("fstat");
  const unsigned char* map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED) fail("mmap");
  struct sum sum = {1, 0};
  for (off_t i = st.st_size; i-- > 0;) {
    add(&sum, map[i]);
    unsigned char byte;
    if (i % 4099 == 0 && (pread(fd, &byte, 1, i) != 1 || byte != map[i])) fail("pread");
  }
  printf("%jd %08" PRIx32 "\n", (intmax_t)st.st_size, value(sum));
}

/* Opens the input for writing, changes its first and last bytes, reads all of it again. */
static void write_input(const char* path) {
  const int fd = open(path, O_RDWR);
  if (fd < 0) fail("open");
  struct stat st;
  if (fstat(fd, &st)) fail("fstat");
  if (pwrite(fd, "CHANGED", 7, 0) != 7) fail("pwrite");
  if (pwrite(fd, "TAIL", 4, st.st_size) != 4) fail("pwrite");
  if (lseek(fd, 0, SEEK_SET)) fail("lseek");
  struct sum sum = {1, 0};
  const uint64_t bytes = add_from(fd, &sum, UINT64_MAX);
  printf("%" PRIu64 " %08" PRIx32 "\n", bytes, value(sum));
}

/* A random-write output, written back to front with a hole. */
static void write_output(const char* path) {
  const int fd = open(path, O_RDWR);
  if (fd < 0) fail("open");
  if (pwrite(fd, "end", 3, 100000) != 3) fail("pwrite");
  if (pwrite(fd, "begin", 5, 0) != 5) fail("pwrite");
  char back[5];
  if (pread(fd, back, 5, 0) != 5 || memcmp(back, "begin", 5)) fail("pread");
  if (close(fd)) fail("close");
  puts("written");
}

/* What a job must not be able to do; prints one line for each thing that it could. */
static void escape(void) {
  static const char* const paths[] = {"/proc/self/status", "/sys/kernel", "/etc/shadow", "/root",
      "/var/tmp", "/home", "/dev/fuse", "/dev/tty", "/dev/fd/0", "/dev/mem"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; ++i)
    if (access(paths[i], F_OK) == 0) printf("sees %s\n", paths[i]);
  if (getuid() == 0 && setuid(0) == 0 && access("/dev/null", W_OK) == 0 && chroot("/") == 0)
    puts("may chroot");
  for (int fd = 3; fd < 1024; ++fd)
    if (fcntl(fd, F_GETFD) >= 0) printf("has fd %d\n", fd);
  puts("done");
}

int main(int argc, char** argv) {
  const char* verb = argc > 1 ? argv[1] : "hello";
  const char* arg = argc > 2 ? argv[2] : "";
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  if (!strcmp(verb, "hello")) {
    puts("hello");
  } else if (!strcmp(verb, "exit")) {
    puts("leaving");
    fflush(stdout);
    return atoi(arg);
  } else if (!strcmp(verb, "crash")) {
    puts("before the crash");
    fflush(stdout);
    volatile int* volatile nowhere = NULL;
    *nowhere = 1;
  } else if (!strcmp(verb, "forever")) {
    static char block[1 << 16];
    memset(block, 'x', sizeof block);
    for (;;)
      if (write(STDOUT_FILENO, block, sizeof block) < 0 && errno != EINTR &&
          strcmp(arg, "stubborn"))
        return 7;
  } else if (!strcmp(verb, "hold")) { /* hold SECONDS MARKER: a marker to be found by in /proc */
    puts("holding");
    fflush(stdout);
    struct timespec t = {atoi(arg), 0};
    while (nanosleep(&t, &t) && errno == EINTR) {
    }
    puts("held");
  } else if (!strcmp(verb, "spin")) {
    for (volatile uint64_t i = 0;; ++i) {
    }
  } else if (!strcmp(verb, "eat")) { /* eat MIB: touches that much memory */
    const size_t size = (size_t)atoi(arg) << 20;
    char* p = malloc(size);
    if (!p) fail("malloc");
    for (size_t i = 0; i < size; i += 4096) ((volatile char*)p)[i] = 1;
    puts("eaten");
  } else if (!strcmp(verb, "cat")) {
    copy(STDIN_FILENO, STDOUT_FILENO);
  } else if (!strcmp(verb, "both")) {
    puts("to stdout");
    fputs("to stderr\n", stderr);
  } else if (!strcmp(verb, "sum")) {
    struct sum sum = {1, 0};
    const uint64_t bytes = add_from(STDIN_FILENO, &sum, UINT64_MAX);
    printf("%" PRIu64 " %08" PRIx32 "\n", bytes, value(sum));
  } else if (!strcmp(verb, "time-read")) { /* seconds that reading stdin to its end took */
    static char buffer[1 << 17];
    const double begin = now();
    while (read(STDIN_FILENO, buffer, sizeof buffer) > 0) {
    }
    printf("%.6f\n", now() - begin);
  } else if (!strcmp(verb, "slow-sum")) { /* slow-sum SECONDS MARKER: pauses after the first MiB */
    struct sum sum = {1, 0};
    uint64_t bytes = add_from(STDIN_FILENO, &sum, 1 << 20);
    struct timespec t = {atoi(arg), 0};
    while (nanosleep(&t, &t) && errno == EINTR) {
    }
    const double resumed = now();
    bytes += add_from(STDIN_FILENO, &sum, UINT64_MAX);
    printf("%" PRIu64 " %08" PRIx32 " %.6f\n", bytes, value(sum), resumed);
  } else if (!strcmp(verb, "random-read")) {
    random_read(arg);
  } else if (!strcmp(verb, "write-input")) {
    write_input(arg);
  } else if (!strcmp(verb, "write-output")) {
    write_output(arg);
  } else if (!strcmp(verb, "args")) {
    for (int i = 0; i < argc; ++i) printf("%s\n", argv[i]);
  } else if (!strcmp(verb, "env")) {
    extern char** environ;
    for (char** e = environ; *e; ++e) puts(*e);
  } else if (!strcmp(verb, "escape")) {
    escape();
  } else {
    fprintf(stderr, "unknown verb %s\n", verb);
    return 98;
  }
  return fflush(stdout) ? 97 : 0;
}
