#pragma once
// Python pickles read as data. Nothing is imported or called: opcodes outside a short list, and globals that the
// caller does not know, are errors. After CPython's pickletools. Needs no library.

#include <reel/core/error.hpp>
#include <reel/io/files/file_kind.hpp>
#include <reel/io/weights/pickle_value.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iomanip>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// Runs a pickle of protocol 2 to 5 and keeps its values. Time and memory are linear in its length and bounded by the
/// limits below, whatever it holds: some 100 MiB at most. The bytes must outlive it.
class Pickle {
public:
    static constexpr std::size_t size_limit = std::size_t{16} << 20;

    /// `where` starts every message.
    Pickle(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {
        require(bytes.size() <= size_limit, where_, ": a pickle of ", bytes.size(), " bytes is too large");
    }

    /// Runs to the STOP opcode and returns the index of the result. Throws Error for anything not understood.
    std::uint32_t run(const PickleHooks& hooks) {
        skip_objects_ = hooks.skip_objects;
        while (true) {
            const auto opcode = static_cast<unsigned char>(take(1)[0]);
            if (opcode == '.') {
                const std::uint32_t result = pop();
                require(stack_.empty() && marks_.empty(), where_, ": damaged pickle (values are left over)");
                return result;
            }
            if (!run_scalar(opcode) && !run_container(opcode) && !run_object(opcode, hooks)) {
                refuse(opcode);
            }
        }
    }

    [[nodiscard]] const PickleValue& value(std::uint32_t index) const { return values_[index]; }

    /// The items of a list or tuple; of a dict key, value, key, value, ...; of anything else none.
    [[nodiscard]] std::span<const std::uint32_t> items(const PickleValue& container) const {
        const auto at = static_cast<std::size_t>(container.integer);
        switch (container.kind) {
        case Kind::tuple:
            return std::span(tuples_).subspan(at, container.count);
        case Kind::list:
        case Kind::dict:
            return growing_[at];
        default:
            return {};
        }
    }

    /// Number of bytes read so far.
    [[nodiscard]] std::size_t position() const { return position_; }

private:
    using Kind = PickleValue::Kind;

    // Far above any model's (a Stable Diffusion UNet: 200 kB, 20,000 values); they bound what a hostile file costs.
    static constexpr std::size_t value_limit = std::size_t{3} << 19;
    static constexpr std::size_t memo_limit = std::size_t{1} << 21; // slots; picklers count them up from 0
    static constexpr std::size_t mark_limit = 4096;                 // tuples and batches of items inside one another
    static constexpr std::uint32_t unset = 0xffffffff;

    std::span<const std::byte> take(std::uint64_t count) {
        require(count <= bytes_.size() - position_, where_, ": truncated pickle");
        position_ += count;
        return bytes_.subspan(position_ - count, count);
    }

    template <class T>
    T take_little() {
        return detail::load_little<T>(take(sizeof(T)), 0);
    }

    std::string_view take_text(std::uint64_t count) {
        const auto bytes = take(count);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    std::string_view take_line() {
        const std::size_t begin = position_;
        while (take_little<char>() != '\n') {
            require(position_ - begin <= 1000, where_, ": damaged pickle (a global's name has no end)");
        }
        return {reinterpret_cast<const char*>(bytes_.data()) + begin, position_ - 1 - begin};
    }

    void push(PickleValue value) {
        require(values_.size() < value_limit, where_, ": a pickle of more than ", value_limit, " values");
        values_.push_back(std::move(value));
        stack_.push_back(static_cast<std::uint32_t>(values_.size() - 1));
    }

    void push_growing(Kind kind) {
        growing_.emplace_back();
        push({.kind = kind, .integer = static_cast<std::int64_t>(growing_.size() - 1)});
    }

    void push_tuple(std::span<const std::uint32_t> items) {
        const auto at = static_cast<std::int64_t>(tuples_.size());
        tuples_.insert(tuples_.end(), items.begin(), items.end());
        push({.kind = Kind::tuple, .count = static_cast<std::uint32_t>(items.size()), .integer = at});
    }

    void push_integer(std::int64_t value) { push({.kind = Kind::integer, .integer = value}); }
    void push_text(Kind kind, std::uint64_t size) { push({.kind = kind, .text = take_text(size)}); }

    /// Where the values that the next opcode may take begin.
    [[nodiscard]] std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

    std::uint32_t pop() {
        require(stack_.size() > floor(), where_, ": damaged pickle (too few values)");
        const std::uint32_t top = stack_.back();
        stack_.pop_back();
        return top;
    }

    std::uint32_t top() const {
        require(stack_.size() > floor(), where_, ": damaged pickle (too few values)");
        return stack_.back();
    }

    std::vector<std::uint32_t> pop_many(std::size_t count) {
        require(stack_.size() - floor() >= count, where_, ": damaged pickle (too few values)");
        std::vector<std::uint32_t> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
        stack_.resize(stack_.size() - count);
        return items;
    }

    std::vector<std::uint32_t> pop_to_mark() {
        require(!marks_.empty(), where_, ": damaged pickle (no mark)");
        std::vector<std::uint32_t> items = pop_many(stack_.size() - marks_.back());
        marks_.pop_back();
        return items;
    }

    void remember(std::size_t slot) {
        require(slot < memo_limit, where_, ": damaged pickle (memo ", slot, " is above ", memo_limit, ")");
        memo_.resize(std::max(memo_.size(), slot + 1), unset);
        memo_count_ += memo_[slot] == unset ? 1 : 0;
        memo_[slot] = top();
    }

    void recall(std::uint32_t slot) {
        require(slot < memo_.size() && memo_[slot] != unset, where_, ": damaged pickle (memo ", slot,
                " was never set)");
        stack_.push_back(memo_[slot]);
    }

    bool run_scalar(unsigned char opcode) {
        switch (opcode) {
        case 0x80: { // PROTO
            const auto protocol = take_little<std::uint8_t>();
            require(protocol >= 2 && protocol <= 5, where_, ": pickle protocol ", int{protocol},
                    " is not supported (2 to 5 are)");
            return true;
        }
        case 0x95: // FRAME: its length matters to streams only
            return take(8), true;
        case 'N':
            return push({}), true;
        case 0x88:
        case 0x89:
            return push({.kind = Kind::boolean, .integer = opcode == 0x88 ? 1 : 0}), true;
        case 'K':
            return push_integer(take_little<std::uint8_t>()), true;
        case 'M':
            return push_integer(take_little<std::uint16_t>()), true;
        case 'J':
            return push_integer(take_little<std::int32_t>()), true;
        case 0x8a: // LONG1: two's complement, little-endian, of any length
            return push_integer(take_long(take_little<std::uint8_t>())), true;
        case 'G': { // BINFLOAT is big-endian
            const auto bits = __builtin_bswap64(take_little<std::uint64_t>());
            return push({.kind = Kind::real, .integer = static_cast<std::int64_t>(bits)}), true;
        }
        case 'X':
            return push_text(Kind::text, take_little<std::uint32_t>()), true;
        case 0x8c:
            return push_text(Kind::text, take_little<std::uint8_t>()), true;
        case 0x8d:
            return push_text(Kind::text, take_little<std::uint64_t>()), true;
        case 'U': // Python 2 strings
            return push_text(Kind::text, take_little<std::uint8_t>()), true;
        case 'T':
            return push_text(Kind::text, take_little<std::uint32_t>()), true;
        case 'C':
            return push_text(Kind::bytes, take_little<std::uint8_t>()), true;
        case 'B':
            return push_text(Kind::bytes, take_little<std::uint32_t>()), true;
        case 0x8e:
            return push_text(Kind::bytes, take_little<std::uint64_t>()), true;
        default:
            return false;
        }
    }

    bool run_container(unsigned char opcode) {
        switch (opcode) {
        case '(':
            require(marks_.size() < mark_limit, where_, ": nested deeper than ", mark_limit, " levels");
            return marks_.push_back(stack_.size()), true;
        case ']':
            return push_growing(Kind::list), true;
        case '}':
            return push_growing(Kind::dict), true;
        case ')':
            return push_tuple({}), true;
        case 't':
            return push_tuple(pop_to_mark()), true;
        case 0x85:
        case 0x86:
        case 0x87:
            return push_tuple(pop_many(opcode - std::size_t{0x84})), true;
        case 'a':
            return extend(Kind::list, pop_many(1)), true;
        case 'e':
            return extend(Kind::list, pop_to_mark()), true;
        case 's':
            return extend(Kind::dict, pop_many(2)), true;
        case 'u':
            return extend(Kind::dict, pop_to_mark()), true;
        case 'q':
            return remember(take_little<std::uint8_t>()), true;
        case 'r':
            return remember(take_little<std::uint32_t>()), true;
        case 0x94: // MEMOIZE
            return remember(memo_count_), true;
        case 'h':
            return recall(take_little<std::uint8_t>()), true;
        case 'j':
            return recall(take_little<std::uint32_t>()), true;
        default:
            return false;
        }
    }

    bool run_object(unsigned char opcode, const PickleHooks& hooks) {
        switch (opcode) {
        case 'c': { // GLOBAL
            const std::string_view module = take_line();
            const std::string_view name = take_line();
            return push_global(module, name, hooks), true;
        }
        case 0x93: { // STACK_GLOBAL
            const PickleValue& name = values_[pop()];
            const PickleValue& module = values_[pop()];
            require(name.kind == Kind::text && module.kind == Kind::text && name.text.size() <= 1000 &&
                        module.text.size() <= 1000,
                    where_, ": damaged pickle (a global's name is no text of at most 1000 bytes)");
            return push_global(module.text, name.text, hooks), true;
        }
        case 'R': { // REDUCE
            const PickleValue& arguments = values_[pop()];
            const PickleValue& callee = values_[pop()];
            if (skip_objects_ && callee.kind == Kind::none) {
                return push({}), true;
            }
            require(callee.kind == Kind::global && arguments.kind == Kind::tuple, where_,
                    ": the pickle calls something other than a known function");
            const PickleValue result = hooks.call(callee.text, items(arguments));
            // A dict or list that a call makes is a new, empty one.
            const bool grows = result.kind == Kind::list || result.kind == Kind::dict;
            return grows ? push_growing(result.kind) : push(result), true;
        }
        case 0x81: // NEWOBJ: class, arguments
            if (!skip_objects_) {
                return false;
            }
            if (values_[pop_many(2).front()].text == "torch.nn.modules.container.ParameterDict") { // has tensors
                push_growing(Kind::dict);
                with_state_.insert(values_[top()].integer);
                return true;
            }
            return push({}), true;
        case 'Q': // BINPERSID
            return push(hooks.persistent(values_[pop()])), true;
        case 'b': { // BUILD: sets attributes, which a state dict has (_metadata) and which do not concern us
            const std::uint32_t state = pop();
            if (skip_objects_ && values_[top()].kind == Kind::none) {
                return true;
            }
            require(values_[top()].kind == Kind::dict && values_[state].kind == Kind::dict, where_,
                    ": the pickle sets the state of something other than a dict");
            if (with_state_.erase(values_[top()].integer) > 0) { // once, and little: not the same over and over
                const auto held = items(values_[state]);
                extend(Kind::dict, {held.begin(), held.begin() + static_cast<std::ptrdiff_t>(
                                                                     std::min<std::size_t>(held.size(), 128))});
            }
            return true;
        }
        default:
            return false;
        }
    }

    void push_global(std::string_view module, std::string_view name, const PickleHooks& hooks) {
        const std::string global = concat_text(module, ".", name);
        const std::optional<std::string_view> known = hooks.find_global(global);
        require(known.has_value(), where_, ": refused: it refers to the Python global \"", printable(global),
                "\", which is not on the list of those that plain tensors need; nothing was executed");
        push({.kind = Kind::global, .text = *known});
    }

    void extend(Kind kind, const std::vector<std::uint32_t>& items) {
        const PickleValue& target = values_[top()];
        if (skip_objects_ && target.kind == Kind::none) {
            return; // an object that is a container
        }
        require(target.kind == kind && (kind != Kind::dict || items.size() % 2 == 0), where_,
                ": damaged pickle (items for something that is no ", kind == Kind::dict ? "dict" : "list", ")");
        std::vector<std::uint32_t>& held = growing_[static_cast<std::size_t>(target.integer)];
        held.insert(held.end(), items.begin(), items.end());
    }

    std::int64_t take_long(std::size_t size) {
        require(size <= 8, where_, ": an integer of more than 64 bits");
        const auto bytes = take(size);
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i) {
            value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
        }
        if (size != 0 && size < 8 && (value >> (8 * size - 1)) != 0) {
            value |= ~std::uint64_t{0} << (8 * size);
        }
        return static_cast<std::int64_t>(value);
    }

    [[nodiscard]] static std::string printable(std::string text) {
        for (char& c : text) {
            c = c < ' ' || c > '~' ? '?' : c;
        }
        return text.substr(0, 200);
    }

    [[noreturn]] void refuse(unsigned char opcode) const {
        static constexpr std::pair<unsigned char, std::string_view> known[] = {
            {'i', "INST"},   {'o', "OBJ"},     {0x81, "NEWOBJ"}, {0x92, "NEWOBJ_EX"}, {0x82, "EXT1"},
            {0x83, "EXT2"},  {0x84, "EXT4"},   {'P', "PERSID"},  {'I', "INT"},        {'L', "LONG"},
            {'S', "STRING"}, {'V', "UNICODE"}, {0x8b, "LONG4"},  {0x8f, "EMPTY_SET"}, {0x91, "FROZENSET"}};
        std::string_view name = "unknown";
        for (const auto& [code, text] : known) {
            name = code == opcode ? text : name;
        }
        fail(where_, ": refused: opcode ", name, " (0x", std::hex, int{opcode}, std::dec, ") at byte ", position_ - 1,
             " is not on the list of those that plain tensors need; nothing was executed");
    }

    std::span<const std::byte> bytes_;
    std::string where_;
    std::size_t position_ = 0;
    bool skip_objects_ = false;
    std::set<std::int64_t> with_state_;              // objects that count as the dict of their attributes
    std::deque<PickleValue> values_;                 // like the next two, without the spare room of a vector
    std::deque<std::vector<std::uint32_t>> growing_; // the items of lists and dicts
    std::vector<std::uint32_t> tuples_;              // the items of all tuples
    std::vector<std::uint32_t> stack_;
    std::vector<std::size_t> marks_;
    std::vector<std::uint32_t> memo_;
    std::size_t memo_count_ = 0;
};

} // namespace reel
