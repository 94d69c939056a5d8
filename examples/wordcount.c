/* Lines, words and bytes of standard input, as `wc` counts them in the C locale.
 *
 *   gcc -O2 -static -o wordcount wordcount.c
 *
 * Nothing here knows of Swift or of the jail: standard input happens to be an object. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_space(unsigned char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

int main(void) {
  static unsigned char buffer[1 << 20];
  uintmax_t lines = 0, words = 0, bytes = 0;
  bool in_word = false;
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      fprintf(stderr, "wordcount: cannot read: %s\n", strerror(errno));
      return 1;
    }
    if (got == 0) break;
    bytes += (uintmax_t)got;
    for (ssize_t i = 0; i < got; ++i) {
      const bool space = is_space(buffer[i]);
      lines += buffer[i] == '\n';
      words += !space && !in_word;
      in_word = !space;
    }
  }
  printf("%ju %ju %ju\n", lines, words, bytes);
  return 0;
}
