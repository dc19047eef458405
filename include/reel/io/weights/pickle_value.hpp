#pragma once
// What a Python pickle read as data holds: part of pickle.hpp. Needs no library.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

namespace reel {

/// One value of a pickle: 32 bytes. Texts are parts of the pickle, and containers name their items by index into the
/// Pickle (see Pickle::items()), so a value that contains itself or nests a million deep needs no care. `opaque` values
/// are the caller's: `integer` is its own number for it.
struct PickleValue {
    enum class Kind : std::uint8_t { none, boolean, integer, real, text, bytes, list, tuple, dict, global, opaque };

    Kind kind = Kind::none;
    std::uint32_t count = 0;  ///< of a tuple's items
    std::int64_t integer = 0; ///< also of boolean and opaque; of a container where its items are; a real's is its bits
    std::string_view text{};  ///< of text and bytes, in the pickle; of global what PickleHooks::find_global gave
};

/// What a pickle may refer to. The functions throw Error for what they refuse.
struct PickleHooks {
    /// The name under which call() knows a global such as "collections.OrderedDict", a text that stays; nothing when
    /// it may not appear.
    std::function<std::optional<std::string_view>(std::string_view)> find_global;
    /// What calling a global with these arguments stands for.
    std::function<PickleValue(std::string_view, std::span<const std::uint32_t>)> call;
    /// What a persistent id (in PyTorch: a storage) stands for.
    std::function<PickleValue(const PickleValue&)> persistent;
    /// Whether objects of classes that nobody knows stand for None; else they are errors. Nothing is executed either
    /// way. Then find_global accepts every name.
    bool skip_objects = false;
};

} // namespace reel
