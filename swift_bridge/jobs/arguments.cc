#include "swift_bridge/jobs/parse.h"

namespace zvm::bridge {

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n';
}

class Splitter {
 public:
  explicit Splitter(std::string_view text) : rest_(text) {}

  Outcome<std::vector<std::string>> run() {
    while (!rest_.empty() && fault_ == nullptr) step(rest_.front());
    if (fault_ == nullptr && quote_ != 0) fault_ = "a quote is not closed";
    if (fault_ != nullptr) return refuse(400, fault_);
    if (in_word_) words_.push_back(std::move(word_));
    if (words_.size() > kMaxArgumentCount)
      return refuse(400, "more than " + std::to_string(kMaxArgumentCount) + " arguments");
    for (const std::string& w : words_)
      if (w.find('\0') != w.npos) return refuse(400, "a NUL byte cannot be in an argument");
    return std::move(words_);
  }

 private:
  void step(char c) {
    if (quote_ == '\'') {
      take(c == '\'' ? Taken::kQuote : Taken::kByte);
    } else if (c == '\\') {
      escape();
    } else if (quote_ == '"') {
      take(c == '"' ? Taken::kQuote : Taken::kByte);
    } else if (c == '\'' || c == '"') {
      quote_ = c;
      in_word_ = true;
      rest_.remove_prefix(1);
    } else if (is_blank(c)) {
      if (in_word_) words_.push_back(std::move(word_));
      word_.clear();
      in_word_ = false;
      rest_.remove_prefix(1);
    } else {
      take(Taken::kByte);
    }
  }

  enum class Taken : uint8_t { kByte, kQuote };

  void take(Taken what) {
    if (what == Taken::kByte) {
      word_ += rest_.front();
      in_word_ = true;
    } else {
      quote_ = 0;
    }
    rest_.remove_prefix(1);
  }

  void escape() {
    in_word_ = true;
    if (rest_.size() >= 4 && rest_[1] == 'x') {
      const int high = hex_value(rest_[2]), low = hex_value(rest_[3]);
      if (high >= 0 && low >= 0) {
        word_ += static_cast<char>(high * 16 + low);
        rest_.remove_prefix(4);
        return;
      }
    }
    if (rest_.size() < 2) {
      fault_ = "a backslash at the end escapes nothing";
      return;
    }
    // As in a shell: between double quotes a backslash is special before '"' and '\' only.
    if (quote_ == '"' && rest_[1] != '"' && rest_[1] != '\\') word_ += '\\';
    word_ += rest_[1];
    rest_.remove_prefix(2);
  }

  std::string_view rest_;
  std::string word_;
  bool in_word_ = false;  // also true for an empty word between quotes
  char quote_ = 0;
  const char* fault_ = nullptr;
  std::vector<std::string> words_;
};

}  // namespace

Outcome<std::vector<std::string>> split_arguments(std::string_view text) {
  return Splitter(text).run();
}

}  // namespace zvm::bridge
