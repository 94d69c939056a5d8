#include "base/codec/pickle.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/uri.h"

namespace zvm {

namespace {

constexpr size_t kMaxMemo = 64 * 1024;
constexpr size_t kMaxStack = 64 * 1024;
// Of all texts made, and of all keys and values: BINGET can name a long text many times.
constexpr size_t kMaxBytes = 2 * kMaxSwiftMetadata;
constexpr const char* kTooManyBytes = "more bytes than metadata may have";

// Opcodes of protocol 2, by their names in pickletools.
enum Opcode : uint8_t {
  kProto = 0x80,
  kMark = '(',
  kStop = '.',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kGlobal = 'c',
  kBinUnicode = 'X',
  kShortBinString = 'U',  // Python 2's str
  kBinString = 'T',
  kEmptyTuple = ')',
  kTuple2 = 0x86,
  kReduce = 'R',
};

// UTF-8 whose code points are all below 256, to one byte each. False where it is not that.
bool to_latin1(std::string_view utf8, std::string* out) {
  out->clear();
  for (size_t i = 0; i < utf8.size(); ++i) {
    const auto b = static_cast<uint8_t>(utf8[i]);
    if (b < 0x80) {
      *out += static_cast<char>(b);
      continue;
    }
    if ((b != 0xc2 && b != 0xc3) || i + 1 == utf8.size()) return false;
    const auto next = static_cast<uint8_t>(utf8[++i]);
    if ((next & 0xc0) != 0x80) return false;
    *out += static_cast<char>((b & 0x03) << 6 | (next & 0x3f));
  }
  return true;
}

// Names of hidden objects have NULs: "/AUTH_a/\0versions\0c/\0o\0...".
bool is_utf8_with_nul(std::string text) {
  std::replace(text.begin(), text.end(), '\0', ' ');
  return is_utf8(text);
}

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  Result<SwiftMetadata> run() {
    if (in_.size() > kMaxSwiftMetadata) return refuse("more than 1 MiB");
    if (in_.size() < 2 || byte(0) != kProto || byte(1) != 2)
      return refuse("no pickle of protocol 2");
    at_ = 2;
    while (fault_ == nullptr && at_ < in_.size()) {
      start_ = at_;
      const uint8_t opcode = byte(at_++);
      if (opcode == kStop) {
        if (stack_.size() != 1 || stack_[0].type != Type::kDict)
          return refuse("an end without a dictionary");
        if (at_ != in_.size()) return refuse("bytes after the end");
        return std::move(out_);
      }
      step(opcode);
      if (stack_.size() > kMaxStack) fault_ = "a stack that is too deep";
    }
    if (fault_ == nullptr) start_ = in_.size();
    return refuse(fault_ != nullptr ? fault_ : "the end is missing");
  }

 private:
  enum class Type : uint8_t { kMark, kDict, kBytes, kText, kEncode, kBytesType, kPair, kNothing };

  struct Value {
    Type type;
    // kBytes and kText: index of the string. kPair: of its first text; the second is `latin1`.
    uint32_t string = 0;
  };

  tl::unexpected<Error> refuse(const char* what) const {
    return fail(Origin::kSwift, Kind::kInvalid,
        "metadata pickle, byte " + std::to_string(start_) + ": " + what);
  }

  uint8_t byte(size_t i) const { return static_cast<uint8_t>(in_[i]); }

  // n bytes that follow, or a fault.
  std::string_view take(size_t n) {
    if (n > in_.size() - at_) {
      fault_ = "the end is missing";
      return {};
    }
    const std::string_view bytes = in_.substr(at_, n);
    at_ += n;
    return bytes;
  }

  uint32_t take_u32() {
    uint32_t n = 0;
    int shift = 0;
    for (const char c : take(4)) {
      n |= static_cast<uint32_t>(static_cast<uint8_t>(c)) << shift;
      shift += 8;
    }
    return n;
  }

  uint32_t take_u8() {
    const std::string_view one = take(1);
    return one.empty() ? 0 : static_cast<uint8_t>(one[0]);
  }

  void push(Type type, std::string text) {
    made_ += text.size();
    if (made_ > kMaxBytes) fault_ = kTooManyBytes;
    strings_.push_back(std::move(text));
    stack_.push_back({type, static_cast<uint32_t>(strings_.size() - 1)});
  }

  void push_string(Type type, size_t size) {
    const std::string_view text = take(size);
    if (fault_ != nullptr) return;
    if (type == Type::kText && !is_utf8_with_nul(std::string(text)))
      fault_ = "text that is not UTF-8";
    else
      push(type, std::string(text));
  }

  bool top_is(size_t depth, Type type) const {
    return stack_.size() > depth && stack_[stack_.size() - 1 - depth].type == type;
  }

  void put(size_t index) {
    if (stack_.empty() || stack_.back().type == Type::kMark) {
      fault_ = "nothing to remember";
    } else if (index >= kMaxMemo) {
      fault_ = "a memo that is too large";
    } else {
      if (index >= memo_.size()) memo_.resize(index + 1, {Type::kMark});
      memo_[index] = stack_.back();
    }
  }

  void get(size_t index) {
    // kMark stands for nothing remembered. A dictionary can not hold itself.
    if (index >= memo_.size() || memo_[index].type == Type::kMark ||
        memo_[index].type == Type::kDict)
      fault_ = "nothing of that number was remembered";
    else
      stack_.push_back(memo_[index]);
  }

  void global() {
    const size_t line = in_.find('\n', at_);
    const size_t end = line == in_.npos ? line : in_.find('\n', line + 1);
    if (end == in_.npos) {
      fault_ = "the end is missing";
      return;
    }
    const std::string_view name = in_.substr(at_, end - at_);
    at_ = end + 1;
    if (name == "_codecs\nencode")
      stack_.push_back({Type::kEncode});
    else if (name == "__builtin__\nbytes")
      stack_.push_back({Type::kBytesType});
    else
      fault_ = "a name that metadata has no use for";
  }

  // (text, "latin1")
  void pair() {
    if (!top_is(0, Type::kText) || !top_is(1, Type::kText) ||
        strings_[stack_.back().string] != "latin1") {
      fault_ = "a pair that is not text and latin1";
      return;
    }
    stack_.pop_back();
    stack_.back().type = Type::kPair;
  }

  void reduce() {
    if (top_is(0, Type::kPair) && top_is(1, Type::kEncode)) {
      std::string bytes;
      if (!to_latin1(strings_[stack_.back().string], &bytes)) {
        fault_ = "text that is not latin1";
        return;
      }
      stack_.resize(stack_.size() - 2);
      push(Type::kBytes, std::move(bytes));
      out_.doubly_encoded = true;
    } else if (top_is(0, Type::kNothing) && top_is(1, Type::kBytesType)) {
      stack_.resize(stack_.size() - 2);
      push(Type::kBytes, "");
    } else {
      fault_ = "a call that makes no bytes";
    }
  }

  // Puts the pairs from stack_[first] on into the dictionary below `below`.
  void set_items(size_t first, size_t dict) {
    if (dict >= stack_.size() || stack_[dict].type != Type::kDict ||
        (stack_.size() - first) % 2 != 0) {
      fault_ = "items without a dictionary";
      return;
    }
    for (size_t i = first; i < stack_.size(); i += 2) {
      const Value& key = stack_[i];
      const Value& value = stack_[i + 1];
      if (!is_string(key) || !is_string(value)) {
        fault_ = "an item that is not bytes to bytes";
        return;
      }
      const std::string& k = strings_[key.string];
      const std::string& v = strings_[value.string];
      bytes_ += k.size() + v.size();
      if (bytes_ > kMaxBytes) {
        fault_ = kTooManyBytes;
        return;
      }
      out_.values[k] = v;
    }
    stack_.resize(dict + 1);
  }

  static bool is_string(const Value& v) { return v.type == Type::kBytes || v.type == Type::kText; }

  void step(uint8_t opcode) {
    switch (opcode) {
      case kMark:
        stack_.push_back({Type::kMark});
        break;
      case kEmptyDict:
        if (has_dict_) fault_ = "a second dictionary";
        has_dict_ = true;
        stack_.push_back({Type::kDict});
        break;
      case kSetItem:
        if (stack_.size() < 3)
          fault_ = "items without a dictionary";
        else
          set_items(stack_.size() - 2, stack_.size() - 3);
        break;
      case kSetItems: {
        size_t mark = stack_.size();
        while (mark > 0 && stack_[mark - 1].type != Type::kMark) --mark;
        if (mark < 2)
          fault_ = "items without a dictionary";
        else
          set_items(mark, mark - 2);
        break;
      }
      case kBinPut:
        put(take_u8());
        break;
      case kLongBinPut:
        put(take_u32());
        break;
      case kBinGet:
        get(take_u8());
        break;
      case kLongBinGet:
        get(take_u32());
        break;
      case kGlobal:
        global();
        break;
      case kBinUnicode:
        push_string(Type::kText, take_u32());
        break;
      case kShortBinString:
        push_string(Type::kBytes, take_u8());
        break;
      case kBinString:
        push_string(Type::kBytes, take_u32());
        break;
      case kEmptyTuple:
        stack_.push_back({Type::kNothing});
        break;
      case kTuple2:
        pair();
        break;
      case kReduce:
        reduce();
        break;
      default:
        fault_ = "an operation that metadata has no use for";
    }
  }

  std::string_view in_;
  size_t at_ = 0;
  size_t start_ = 0;  // of the operation that is looked at
  const char* fault_ = nullptr;
  bool has_dict_ = false;
  size_t made_ = 0;   // bytes of strings_
  size_t bytes_ = 0;  // bytes of items
  std::vector<Value> stack_;
  std::vector<Value> memo_;
  std::vector<std::string> strings_;
  SwiftMetadata out_;
};

}  // namespace

std::string SwiftMetadata::header(const std::string& key) const {
  const auto at = values.find(key);
  if (at == values.end()) return {};
  std::string once;
  if (doubly_encoded && to_latin1(at->second, &once)) return once;
  return at->second;
}

Result<SwiftMetadata> parse_swift_metadata(std::string_view pickle) {
  return Reader(pickle).run();
}

}  // namespace zvm
