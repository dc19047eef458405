#pragma once
// How a PyTorch pickle describes tensors: part of torch_checkpoint.hpp. Needs no library.

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>
#include <reel/io/files/mapped_file.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/pickle.hpp>
#include <reel/io/weights/torch_contents.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// Elements of `element` bytes that lie `strides` elements apart from `first` on, one after another, the last axis
/// fastest. None of the axes is empty.
[[nodiscard]] inline std::vector<std::byte> gathered(const std::byte* first, std::size_t element,
                                                     const std::vector<std::int64_t>& shape,
                                                     const std::vector<std::int64_t>& strides) {
    std::vector<std::byte> elements(checked_element_count(shape, element) * element);
    std::vector<std::int64_t> position(shape.size(), 0);
    std::int64_t offset = 0;
    for (std::size_t at = 0; at < elements.size(); at += element) {
        std::memcpy(elements.data() + at, first + static_cast<std::size_t>(offset) * element, element);
        for (std::size_t axis = position.size(); axis-- > 0;) {
            offset += strides[axis];
            if (++position[axis] < shape[axis]) {
                break;
            }
            offset -= strides[axis] * shape[axis];
            position[axis] = 0;
        }
    }
    return elements;
}

/// Collects the storages and tensors that a pickle describes, then, once the storages' bytes are known, gives the
/// tensors their data.
class TorchTensors {
public:
    TorchTensors(std::shared_ptr<const MappedFile> file, std::span<const std::byte> pickle,
                 TorchObjects objects = TorchObjects::refuse)
        : file_(std::move(file)), path_(file_->path()), pickle_(pickle, path_), objects_(objects),
          expansion_budget_((std::size_t{64} << 20) + 2 * file_->size()) {}

    /// Reads the pickle; returns the number of bytes it takes.
    std::size_t read() {
        PickleHooks hooks;
        hooks.skip_objects = objects_ == TorchObjects::skip;
        hooks.find_global = [this](std::string_view name) { return find_global(name); };
        hooks.call = [this](std::string_view name, std::span<const std::uint32_t> arguments) {
            return call(name, arguments);
        };
        hooks.persistent = [this](const PickleValue& id) { return storage(id); };
        root_ = pickle_.run(hooks);
        return pickle_.position();
    }

    /// Gives each storage its bytes, whose number it checks. `lookup` takes key and expected number of bytes.
    template <class Lookup>
    void attach(const Lookup& lookup) {
        for (Storage& storage : storages_) {
            std::int64_t expected = 0;
            require(
                !__builtin_mul_overflow(storage.count, static_cast<std::int64_t>(size_of(storage.dtype)), &expected),
                path_, ": storage \"", storage.key, "\" announces ", storage.count, " elements");
            storage.bytes = lookup(storage.key, static_cast<std::size_t>(expected));
            require(storage.bytes.size() == static_cast<std::size_t>(expected), path_, ": storage \"", storage.key,
                    "\" should have ", expected, " bytes (", storage.count, " of ", name_of(storage.dtype),
                    "), but has ", storage.bytes.size());
        }
    }

    /// Names and makes all tensors.
    [[nodiscard]] TorchCheckpoint result() {
        TorchCheckpoint checkpoint;
        collect(root_, "", 0, checkpoint);
        return checkpoint;
    }

    /// Gives `action` each text of the pickle's result, a list: the storages' keys in a file from before 1.6.
    template <class Action>
    void for_each_text(const Action& action) const {
        for (const std::uint32_t item : pickle_.items(pickle_.value(root_))) {
            action(pickle_.value(item).text);
        }
    }

    /// Whether the pickle's result is a dict that says False under `key`.
    [[nodiscard]] bool denies(std::string_view key) const {
        const PickleValue& root = pickle_.value(root_);
        const auto items = pickle_.items(root);
        for (std::size_t i = 0; root.kind == Kind::dict && i + 1 < items.size(); i += 2) {
            const PickleValue& value = pickle_.value(items[i + 1]);
            if (pickle_.value(items[i]).text == key && value.kind == Kind::boolean && value.integer == 0) {
                return true;
            }
        }
        return false;
    }

    /// Bytes per element of the storage of that key, or nothing when no tensor refers to it.
    [[nodiscard]] std::optional<std::size_t> element_size(std::string_view key) const {
        const auto found = storage_index_.lower_bound({key, DType{}, 0});
        return found == storage_index_.end() || std::get<0>(found->first) != key
                   ? std::nullopt
                   : std::optional(size_of(storages_[found->second].dtype));
    }

private:
    using Kind = PickleValue::Kind;

    // Texts are parts of the pickle.
    struct Storage {
        DType dtype;
        std::string_view key;
        std::int64_t count;
        std::span<const std::byte> bytes;
    };

    /// Elements `offset` + sum of index times stride of a storage. Shape and strides are tuples of the pickle, which
    /// many tensors may share.
    struct View {
        std::size_t storage;
        std::int64_t offset;
        std::uint32_t shape;
        std::uint32_t strides;
    };

    /// Under which name call() knows a global.
    [[nodiscard]] std::optional<std::string_view> find_global(std::string_view name) {
        for (const std::string_view known : torch_tensor_globals) {
            if (name == known) {
                return known;
            }
        }
        for (const TorchStorageType& type : torch_storage_types) {
            if (name == type.global) {
                return type.global;
            }
        }
        if (objects_ == TorchObjects::refuse) {
            return std::nullopt;
        }
        const auto [other, added] = other_globals_.emplace(name);
        spend(added ? 128 + name.size() : 0);
        return *other;
    }

    // Opaque pickle values: a view has its own index, a storage -1 minus it.
    [[nodiscard]] PickleValue storage(const PickleValue& id) {
        const auto items = pickle_.items(id);
        const auto item = [&](std::size_t i) -> const PickleValue& { return pickle_.value(items[i]); };
        const auto is = [&](std::size_t i, Kind kind) { return item(i).kind == kind; };
        require(id.kind == Kind::tuple && (items.size() == 5 || (items.size() == 6 && is(5, Kind::none))) &&
                    is(0, Kind::text) && item(0).text == "storage" && is(1, Kind::global) && is(2, Kind::text) &&
                    is(4, Kind::integer),
                path_, ": a persistent id that is no storage");
        const std::string_view type = item(1).text;
        const std::optional<DType> dtype = torch_storage_dtype(type);
        const std::int64_t count = item(4).integer;
        require(dtype.has_value(), path_, ": \"", type, "\" is not a supported storage type");
        require(count >= 0, path_, ": a storage of ", count, " elements");
        const std::string_view key = item(2).text;
        require(key.size() <= 1000, path_, ": a storage's key of ", key.size(), " bytes");
        const auto [known, added] = storage_index_.try_emplace({key, *dtype, count}, storages_.size());
        if (added) {
            storages_.push_back({*dtype, key, count, {}});
        }
        return {.kind = Kind::opaque, .integer = -1 - static_cast<std::int64_t>(known->second)};
    }

    [[nodiscard]] PickleValue call(std::string_view name, std::span<const std::uint32_t> arguments) {
        if (name == "collections.OrderedDict" && arguments.empty()) {
            return {.kind = Kind::dict};
        }
        if (name == "torch.Size" && arguments.size() == 1) {
            check_integers(arguments[0]);
            return pickle_.value(arguments[0]);
        }
        const bool with_state = name == "torch._utils._rebuild_parameter_with_state" && arguments.size() == 4;
        if ((name == "torch._utils._rebuild_parameter" && arguments.size() == 3) || with_state) {
            const PickleValue& tensor = pickle_.value(arguments[0]);
            require(tensor.kind == Kind::opaque && tensor.integer >= 0, path_, ": a parameter that is no tensor");
            return tensor;
        }
        if (name.starts_with("torch._tensor._rebuild_from_type") && arguments.size() == 4) {
            return tensor_of_type(arguments);
        }
        if (objects_ == TorchObjects::skip && name != "torch._utils._rebuild_tensor_v2") {
            // Objects are passed over, tensors never.
            require(!name.starts_with("torch._utils._rebuild") && !name.starts_with("torch._tensor._rebuild") &&
                        !(name.starts_with("torch.") && hold_tensors(arguments, 0)),
                    path_, ": refused: a tensor made by \"", name,
                    "\", which is not on the list of those that plain tensors need; nothing was executed");
            return {};
        }
        require(name == "torch._utils._rebuild_tensor_v2" && (arguments.size() == 6 || arguments.size() == 7), path_,
                ": refused: a call of \"", name, "\" with ", arguments.size(), " arguments; nothing was executed");
        const PickleValue& source = pickle_.value(arguments[0]);
        const PickleValue& offset = pickle_.value(arguments[1]);
        require(source.kind == Kind::opaque && source.integer < 0 && offset.kind == Kind::integer, path_,
                ": a tensor without a storage");
        require(arguments.size() == 6 || pickle_.value(arguments[6]).kind == Kind::none ||
                    pickle_.items(pickle_.value(arguments[6])).empty(),
                path_, ": a tensor with backend metadata (conjugated, negated or on another backend)");
        const View view{static_cast<std::size_t>(-1 - source.integer), offset.integer, arguments[2], arguments[3]};
        check(view);
        views_.push_back(view);
        return {.kind = Kind::opaque, .integer = static_cast<std::int64_t>(views_.size() - 1)};
    }

    /// A tensor with Python attributes, or a Buffer: how it is made, its class, and the attributes, which mean nothing
    /// here.
    [[nodiscard]] PickleValue tensor_of_type(std::span<const std::uint32_t> arguments) {
        const PickleValue& function = pickle_.value(arguments[0]);
        const PickleValue& type = pickle_.value(arguments[1]);
        const PickleValue& parts = pickle_.value(arguments[2]);
        require(function.kind == Kind::global && type.kind == Kind::global && parts.kind == Kind::tuple &&
                    function.text != "torch._tensor._rebuild_from_type_v2" &&
                    function.text != "torch._tensor._rebuild_from_type",
                path_, ": a tensor of a class of its own that is not made as torch.save writes it");
        const std::string_view name = type.text;
        require(name == "torch.Tensor" || name == "torch.nn.parameter.Parameter" || name == "torch.nn.parameter.Buffer",
                path_, ": refused: a tensor of the class \"", name,
                "\"; supported are torch.Tensor, Parameter and Buffer; nothing was executed");
        const PickleValue tensor = call(function.text, pickle_.items(parts));
        require(tensor.kind == Kind::opaque && tensor.integer >= 0, path_, ": refused: a ", name, " made by \"",
                function.text, "\", which gives no plain tensor; nothing was executed");
        return tensor;
    }

    /// Whether a tensor or storage is among values or in tuples and lists of them.
    [[nodiscard]] bool hold_tensors(std::span<const std::uint32_t> values, int depth) {
        return std::any_of(values.begin(), values.end(), [&](std::uint32_t index) {
            require(++visited_ <= 1'000'000, path_, ": more than a million entries");
            const PickleValue& value = pickle_.value(index);
            return value.kind == Kind::opaque || (depth < 4 && hold_tensors(pickle_.items(value), depth + 1));
        });
    }

    /// Throws unless it is a tuple of non-negative integers, at most as many as PyTorch allows axes.
    void check_integers(std::uint32_t index) const {
        const PickleValue& tuple = pickle_.value(index);
        require(tuple.kind == Kind::tuple && tuple.count <= 64, path_, ": a tensor without shape or strides");
        for (const std::uint32_t item : pickle_.items(tuple)) {
            const PickleValue& value = pickle_.value(item);
            require(value.kind == Kind::integer && value.integer >= 0, path_,
                    ": a tensor's shape or strides hold something other than non-negative integers");
        }
    }

    [[nodiscard]] std::vector<std::int64_t> integers(std::uint32_t index) const {
        check_integers(index);
        std::vector<std::int64_t> values;
        for (const std::uint32_t item : pickle_.items(pickle_.value(index))) {
            values.push_back(pickle_.value(item).integer);
        }
        return values;
    }

    /// All of the view's elements must lie in its storage.
    void check(const View& view) const {
        const Storage& storage = storages_[view.storage];
        const std::vector<std::int64_t> shape = integers(view.shape);
        const std::vector<std::int64_t> strides = integers(view.strides);
        const std::size_t count = checked_element_count(shape, size_of(storage.dtype), path_);
        if (shape.size() != strides.size()) {
            fail(path_, ": a tensor of shape ", shape_text(shape), " with strides ", shape_text(strides));
        }
        std::int64_t last = view.offset;
        bool overflow = view.offset < 0;
        for (std::size_t i = 0; i < shape.size() && count != 0; ++i) {
            std::int64_t reach = 0;
            overflow = __builtin_mul_overflow(shape[i] - 1, strides[i], &reach) || overflow;
            overflow = __builtin_add_overflow(last, reach, &last) || overflow;
        }
        if (overflow || (count != 0 && last >= storage.count)) {
            fail(path_, ": a tensor of shape ", shape_text(shape), ", strides ", shape_text(strides), " and offset ",
                 view.offset, " does not fit its storage of ", storage.count, " elements");
        }
    }

    void spend(std::size_t bytes) {
        require(budget_ >= bytes, path_, ": its dicts and lists hold more than ", entry_limit,
                " bytes of names and tensors");
        budget_ -= bytes;
    }

    /// Names everything below a value. A dict may hold one dict twice, that one another twice, and so on: `budget_`
    /// bounds what the names and their tensors take, and so how many there can be.
    void collect(std::uint32_t index, const std::string& name, int depth, TorchCheckpoint& checkpoint) {
        constexpr std::size_t entry_cost = 256; // of a tensor without its name, roughly
        require(depth <= 32, path_, ": dicts nested deeper than 32 levels");
        spend(entry_cost + name.size());
        const PickleValue& value = pickle_.value(index);
        const auto items = pickle_.items(value);
        const std::string prefix = depth == 0 ? "" : name + ".";
        const auto below = [&](std::uint32_t item, std::string_view key) {
            require(prefix.size() + key.size() <= 4096, path_, ": a name of more than 4096 bytes");
            collect(item, prefix + std::string(key), depth + 1, checkpoint);
        };
        if (value.kind == Kind::dict) {
            for (std::size_t i = 0; i < items.size(); i += 2) {
                const PickleValue& key = pickle_.value(items[i]);
                if (objects_ == TorchObjects::skip && key.kind != Kind::text && key.kind != Kind::integer) {
                    continue; // a class: a callback's state
                }
                require(key.kind == Kind::text || key.kind == Kind::integer, path_,
                        ": a dict key that is neither text nor integer");
                if (key.kind == Kind::text) {
                    below(items[i + 1], key.text);
                } else {
                    below(items[i + 1], std::to_string(key.integer));
                }
            }
        } else if (value.kind == Kind::list || value.kind == Kind::tuple) {
            for (std::size_t i = 0; i < items.size(); ++i) {
                below(items[i], std::to_string(i));
            }
        } else if (value.kind == Kind::opaque && value.integer >= 0) {
            const bool added =
                checkpoint.tensors.emplace(name, tensor(views_[static_cast<std::size_t>(value.integer)])).second;
            require(added, path_, ": two tensors are named \"", name, "\"");
        } else {
            checkpoint.others.push_back(name);
            if (value.kind == Kind::text && depth == 1 && value.text.size() <= 256) {
                checkpoint.texts.emplace(name, value.text);
            }
        }
    }

    [[nodiscard]] HostTensor tensor(const View& view) {
        const Storage& storage = storages_[view.storage];
        const std::size_t element = size_of(storage.dtype);
        const std::vector<std::int64_t> shape = integers(view.shape);
        const std::vector<std::int64_t> strides = integers(view.strides);
        const std::size_t count = checked_element_count(shape, element);
        bool dense = true;
        std::int64_t stride = 1;
        for (std::size_t i = shape.size(); i-- > 0 && count != 0;) {
            dense = dense && (shape[i] == 1 || strides[i] == stride);
            stride *= shape[i];
        }
        HostTensor tensor{storage.dtype, shape, nullptr, file_, true};
        if (count == 0) {
            tensor.data = storage.bytes.data();
            return tensor;
        }
        const std::byte* first = storage.bytes.data() + static_cast<std::size_t>(view.offset) * element;
        if (dense) {
            tensor.data = first;
            return tensor;
        }
        // Strides of zero let a small file describe huge tensors.
        if (count * element > expansion_budget_) {
            fail(path_, ": a tensor of shape ", shape_text(shape), " and strides ", shape_text(strides),
                 " would expand a small storage too far");
        }
        expansion_budget_ -= count * element;
        auto buffer = std::make_shared<std::vector<std::byte>>(gathered(first, element, shape, strides));
        tensor.data = buffer->data();
        tensor.owner = std::move(buffer);
        tensor.file_backed = false;
        return tensor;
    }

    std::shared_ptr<const MappedFile> file_;
    std::string path_;
    Pickle pickle_;
    TorchObjects objects_;
    std::uint32_t root_ = 0;
    std::vector<Storage> storages_;
    std::map<std::tuple<std::string_view, DType, std::int64_t>, std::size_t> storage_index_;
    std::vector<View> views_;
    std::set<std::string, std::less<>> other_globals_;
    std::size_t visited_ = 0;
    static constexpr std::size_t entry_limit = std::size_t{64} << 20;
    std::size_t budget_ = entry_limit;
    std::size_t expansion_budget_;
};

} // namespace detail

} // namespace reel
