#include "base/codec/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace zvm {

namespace {

constexpr int kGzipOnly = 16 + MAX_WBITS;
constexpr size_t kMaxRatio = 1032;  // deflate can not do better

class Inflater {
 public:
  explicit Inflater(std::string_view in) {
    // Only a failed allocation can be the reason here.
    ZVM_CHECK(inflateInit2(&stream_, kGzipOnly) == Z_OK);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
  }

  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  ~Inflater() { inflateEnd(&stream_); }

  int fill(char* into, size_t size) {
    stream_.next_out = reinterpret_cast<Bytef*>(into);
    stream_.avail_out = static_cast<uInt>(size);
    return ::inflate(&stream_, Z_NO_FLUSH);
  }

  size_t room() const { return stream_.avail_out; }

  size_t input_left() const { return stream_.avail_in; }

 private:
  z_stream stream_{};
};

tl::unexpected<Error> bad(const char* what) {
  return fail(Origin::kSwift, Kind::kInvalid, std::string("gzip: ") + what);
}

}  // namespace

Result<std::string> gunzip(std::string_view gzip_bytes, size_t max_bytes) {
  if (gzip_bytes.size() > std::numeric_limits<uInt>::max() || gzip_bytes.size() > max_bytes)
    return bad("too large");
  Inflater inflater(gzip_bytes);
  std::string out;
  // The growing buffer doubles, but no further than the input can ever fill.
  const size_t most = std::min(max_bytes, gzip_bytes.size() * kMaxRatio + 64);
  size_t filled = 0;
  for (;;) {
    if (filled == out.size()) {
      if (filled == most && most == max_bytes) return bad("too large when inflated");
      out.resize(std::clamp<size_t>(2 * out.size(), std::min<size_t>(most, 64 * 1024), most));
    }
    const size_t room = std::min<size_t>(out.size() - filled, 1u << 30);
    if (room == 0) return bad("damaged");
    const int rc = inflater.fill(out.data() + filled, room);
    filled += room - inflater.room();
    if (rc == Z_STREAM_END) break;
    if (rc == Z_BUF_ERROR) return bad("cut short");
    if (rc != Z_OK) return bad("damaged");
    if (inflater.input_left() == 0 && inflater.room() != 0) return bad("cut short");
  }
  if (inflater.input_left() != 0) return bad("bytes behind the end");
  out.resize(filled);
  return out;
}

}  // namespace zvm
