#pragma once
// Tensors as files hold them: typed bytes in host memory. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>
#include <reel/io/files/mapped_file.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace reel {

static_assert(std::endian::native == std::endian::little, "reel's file formats are read and written little-endian");

/// A shape as messages show it: "[1, 4, 64, 64]".
[[nodiscard]] inline std::string shape_text(std::span<const std::int64_t> shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        text += i == 0 ? "" : ", ";
        text += std::to_string(shape[i]);
    }
    return text += "]";
}

/// Number of elements of a shape, 1 for []. Throws Error, which starts with `where`, when an extent is negative or the
/// number of bytes, at `element_size` each, does not fit 63 bits.
[[nodiscard]] inline std::size_t checked_element_count(std::span<const std::int64_t> shape, std::size_t element_size,
                                                       std::string_view where = "a tensor") {
    auto bytes = static_cast<std::int64_t>(element_size);
    bool empty = false;
    for (const std::int64_t extent : shape) {
        if (extent < 0) {
            fail(where, ": shape ", shape_text(shape), " has a negative extent");
        }
        if (extent == 0) {
            empty = true;
        } else if (__builtin_mul_overflow(bytes, extent, &bytes)) {
            fail(where, ": shape ", shape_text(shape), " is too large");
        }
    }
    return empty ? 0 : static_cast<std::size_t>(bytes) / element_size;
}

/// A dense row-major array of typed bytes, which `owner` (a memory map or a buffer) keeps alive. Copying it copies
/// no data. The bytes need not be aligned for their type: read them with to_vector() or copy_to().
struct HostTensor {
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;
    const std::byte* data = nullptr;
    std::shared_ptr<const void> owner;
    /// Whether `data` lies in a read-only map of a file, so that its pages can be dropped and read again.
    bool file_backed = false;

    /// Takes the values, row-major. Throws Error unless there are as many as `shape` says.
    template <class T>
    [[nodiscard]] static HostTensor make(std::vector<std::int64_t> shape, std::vector<T> values) {
        const std::size_t count = checked_element_count(shape, sizeof(T));
        require(count == values.size(), "HostTensor::make: shape ", shape_text(shape), " has ", count,
                " elements, but ", values.size(), " values were given");
        auto buffer = std::make_shared<const std::vector<T>>(std::move(values));
        const auto* data = reinterpret_cast<const std::byte*>(buffer->data());
        return {dtype_of<T>(), std::move(shape), data, std::move(buffer), false};
    }

    /// Number of elements; 1 for a scalar, whose shape is [].
    [[nodiscard]] std::size_t element_count() const { return checked_element_count(shape, size_of(dtype)); }

    [[nodiscard]] std::size_t byte_count() const { return element_count() * size_of(dtype); }

    [[nodiscard]] std::span<const std::byte> bytes() const { return {data, byte_count()}; }

    /// Copies the values, converted among float64, float32, float16 and bfloat16 (rounded to nearest even; from
    /// float64 to the 16-bit types by way of float32, as PyTorch does). Other types are only copied to themselves.
    /// Throws Error on another combination or when `target` has another number of elements.
    template <class T>
    void copy_to(std::span<T> target) const {
        const std::size_t count = element_count();
        require(count == target.size(), "a tensor of shape ", shape_text(shape), " does not fit a buffer of ",
                target.size(), " elements");
        if (dtype == dtype_of<T>()) {
            if (count != 0) {
                std::memcpy(static_cast<void*>(target.data()), data, count * sizeof(T));
            }
            return;
        }
        if constexpr (Scalar<T>) {
            switch (dtype) {
            case DType::f64:
                return convert_from<double>(target);
            case DType::f32:
                return convert_from<float>(target);
            case DType::f16:
                return convert_from<half>(target);
            case DType::bf16:
                return convert_from<bfloat16>(target);
            default:
                break;
            }
        }
        fail("a tensor of type ", name_of(dtype), " cannot be read as ", name_of(dtype_of<T>()));
    }

    /// The values as a vector; see copy_to().
    template <class T>
    [[nodiscard]] std::vector<T> to_vector() const {
        std::vector<T> values(element_count());
        copy_to(std::span<T>(values));
        return values;
    }

    /// Hands the memory of a file-backed tensor back to the system; it is read from the file again when needed. For
    /// loaders, so that a model is not in memory twice. Does nothing for other tensors.
    void drop_pages() const {
        if (file_backed) {
            drop_mapped_pages(bytes());
        }
    }

private:
    template <class From, class T>
    void convert_from(std::span<T> target) const {
        for (std::size_t i = 0; i < target.size(); ++i) {
            From value;
            std::memcpy(&value, data + i * sizeof(From), sizeof(From));
            target[i] = static_cast<T>(static_cast<compute_t<From>>(value));
        }
    }
};

/// Tensors by name, as a weights file holds them.
using StateDict = std::map<std::string, HostTensor, std::less<>>;

/// A tensor that a writer asks for when its turn comes, so that not all must be in host memory at once: load() must
/// give the type and shape announced.
struct TensorSource {
    std::string name;
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;
    std::function<HostTensor()> load;
};

/// Sources of tensors that are in memory already, in order of name.
[[nodiscard]] inline std::vector<TensorSource> tensor_sources(const StateDict& tensors) {
    std::vector<TensorSource> sources;
    sources.reserve(tensors.size());
    for (const auto& [name, tensor] : tensors) {
        sources.push_back({name, tensor.dtype, tensor.shape, [copy = tensor] { return copy; }});
    }
    return sources;
}

/// What a source gives, checked against what it announced; `path` is the file being written.
[[nodiscard]] inline HostTensor load_announced(const TensorSource& source, const std::string& path) {
    HostTensor tensor = source.load();
    require(tensor.dtype == source.dtype && tensor.shape == source.shape, "cannot write ", path, ": tensor \"",
            source.name, "\" was announced as ", name_of(source.dtype), " ", shape_text(source.shape), " but came as ",
            name_of(tensor.dtype), " ", shape_text(tensor.shape));
    return tensor;
}

} // namespace reel
