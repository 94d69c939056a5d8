#include "base/json.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <vector>

namespace zvm {

namespace {

// Walks the text and tells how far the lexer has come.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** seen) : at_(at), seen_(seen) {}

  reference operator*() const { return *at_; }

  Cursor& operator++() {
    *seen_ = ++at_;
    return *this;
  }

  Cursor operator++(int) {
    Cursor before = *this;
    ++*this;
    return before;
  }

  bool operator==(const Cursor& o) const { return at_ == o.at_; }

  bool operator!=(const Cursor& o) const { return at_ != o.at_; }

 private:
  const char* at_;
  const char** seen_;
};

// Builds the value as nlohmann's own handler does, and ends the parse where a limit is passed or a
// key comes twice.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(size_t depth) : depth_(depth) {}

  bool null() override { return add(nullptr); }

  bool boolean(bool v) override { return add(v); }

  bool number_integer(number_integer_t v) override { return add(v); }

  bool number_unsigned(number_unsigned_t v) override { return add(v); }

  bool number_float(number_float_t v, const string_t&) override { return add(v); }

  bool string(string_t& v) override { return add(std::move(v)); }

  bool binary(binary_t&) override { return refuse("binary data"); }

  bool start_object(std::size_t) override { return open(Json::object()); }

  bool end_object() override { return close(); }

  bool start_array(std::size_t) override { return open(Json::array()); }

  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto [at, fresh] = open_.back()->get_ref<Json::object_t&>().emplace(std::move(name), nullptr);
    if (!fresh) return refuse("a key comes twice in one object");
    slot_ = &at->second;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: what happened"
    std::string what = e.what();
    if (const size_t end = what.find("] "); end != what.npos) what.erase(0, end + 2);
    if (const size_t end = what.find(": ");
        what.rfind("parse error at", 0) == 0 && end != what.npos)
      what.erase(0, end + 2);
    return refuse(std::move(what));
  }

  Json root;
  std::string fault;

 private:
  bool refuse(std::string why) {
    if (fault.empty()) fault = std::move(why);
    return false;
  }

  Json* place(Json&& v) {
    if (open_.empty()) return &(root = std::move(v));
    Json& parent = *open_.back();
    if (parent.is_object()) return &(*slot_ = std::move(v));
    auto& list = parent.get_ref<Json::array_t&>();
    list.push_back(std::move(v));
    return &list.back();
  }

  template <class T>
  bool add(T&& v) {
    place(Json(std::forward<T>(v)));
    return true;
  }

  bool open(Json&& v) {
    if (open_.size() >= depth_) return refuse("nested too deeply");
    open_.push_back(place(std::move(v)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const size_t depth_;
  // The containers that are not closed yet. Only the last of them changes, so that none moves.
  std::vector<Json*> open_;
  Json* slot_ = nullptr;  // where the value of the key read last goes
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    return fail(Origin::kClient, Kind::kOverloaded,
        "JSON is longer than " + std::to_string(limits.bytes) + " bytes");
  // The lexer takes a NUL for the end of the text and would not see what follows.
  if (const size_t nul = text.find('\0'); nul != text.npos)
    return fail(
        Origin::kClient, Kind::kInvalid, "JSON, byte " + std::to_string(nul) + ": a NUL byte");
  const char* seen = text.data();
  Builder builder(limits.depth);
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the pair is bounded by its end
  const Cursor begin(text.data(), &seen), end(text.data() + text.size(), &seen);
  if (!Json::sax_parse(begin, end, &builder)) {
    const auto at = std::max<std::ptrdiff_t>(seen - text.data() - 1, 0);
    return fail(
        Origin::kClient, Kind::kInvalid, "JSON, byte " + std::to_string(at) + ": " + builder.fault);
  }
  return std::move(builder.root);
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace zvm
