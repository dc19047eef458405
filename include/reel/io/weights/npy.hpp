#pragma once
// NumPy's .npy format (numpy.lib.format, versions 1.0 to 3.0): "\x93NUMPY", two bytes of version, a header's length,
// the header {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } as Python writes it, then the elements. Needs
// nlohmann-json (target reel::io).

#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/format_text.hpp>
#include <reel/core/number_text.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/files/file_kind.hpp>
#include <reel/io/weights/host_tensor.hpp>

namespace reel {

static_assert(std::endian::native == std::endian::little, "reel: arrays are read and written as they lie in memory");

namespace detail {

inline constexpr std::string_view npy_mark = "\x93NUMPY";

struct NpyType {
    std::string_view descr;
    DType dtype;
};
inline constexpr std::array npy_types{
    NpyType{"<f8", DType::f64}, NpyType{"<f4", DType::f32}, NpyType{"<f2", DType::f16},
    NpyType{"<i8", DType::i64}, NpyType{"<i4", DType::i32}, NpyType{"<i2", DType::i16},
    NpyType{"|i1", DType::i8},  NpyType{"|u1", DType::u8},  NpyType{"|b1", DType::boolean}};

struct NpyHeader {
    std::string descr{};
    bool fortran_order = false;
    std::vector<std::int64_t> shape{};
};

/// Reads the dictionary; each key once, in any order. Takes what numpy writes, not all that Python would.
class NpyHeaderReader {
public:
    NpyHeaderReader(std::string_view text, std::string place) : rest_(text), place_(std::move(place)) {}

    [[nodiscard]] NpyHeader read() {
        NpyHeader header;
        std::array<bool, 3> seen{};
        expect('{');
        while (!at('}')) {
            const std::string key = string();
            expect(':');
            const std::size_t which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : 3;
            require(which < 3 && !seen[which], place_, ": the array's header has ", which < 3 ? "twice" : "a key",
                    " \"", key, "\"");
            seen[which] = true;
            if (which == 0) {
                spaces();
                require(!rest_.empty() && rest_[0] != '[', place_,
                        ": an array of records; expected one of plain numbers");
                header.descr = string();
            } else if (which == 1) {
                header.fortran_order = truth();
            } else {
                header.shape = shape();
            }
            if (!at('}', false)) {
                expect(',');
            }
        }
        require(seen[0] && seen[1] && seen[2], place_,
                ": the array's header lacks descr, fortran_order or shape: the file is damaged");
        return header;
    }

private:
    void spaces() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }

    /// Whether that character is next; with `take` it is passed.
    bool at(char c, bool take = true) {
        spaces();
        const bool there = rest_.starts_with(c);
        rest_.remove_prefix(there && take ? 1 : 0);
        return there;
    }
    void expect(char c) {
        require(at(c), place_, ": the array's header is not one of numpy's (a '", c, "' is missing)");
    }
    std::string string() {
        spaces();
        const char quote = rest_.empty() ? ' ' : rest_[0];
        const std::size_t end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : std::string_view::npos;
        require(end != std::string_view::npos, place_,
                ": the array's header is not one of numpy's (a text is missing)");
        const std::string text(rest_.substr(1, end - 1));
        rest_.remove_prefix(end + 1);
        return text;
    }
    bool truth() {
        spaces();
        const bool value = rest_.starts_with("True");
        require(value || rest_.starts_with("False"), place_, ": fortran_order is neither True nor False");
        rest_.remove_prefix(value ? 4 : 5);
        return value;
    }
    std::vector<std::int64_t> shape() {
        std::vector<std::int64_t> extents;
        expect('(');
        while (!at(')')) {
            spaces();
            std::int64_t extent = -1;
            const auto [end, error] = read_number(rest_, extent);
            require(error == std::errc{} && extent >= 0, place_, ": the array's shape is not one of numpy's");
            rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
            extents.push_back(extent);
            if (!at(')', false)) {
                expect(',');
            }
        }
        return extents;
    }

    std::string_view rest_;
    std::string place_;
};

/// The elements of an array in Fortran's order (the first axis is the fastest), row by row.
[[nodiscard]] inline std::vector<std::byte> in_row_order(std::span<const std::byte> bytes,
                                                         const std::vector<std::int64_t>& shape, std::size_t size) {
    std::vector<std::byte> result(bytes.size());
    std::vector<std::size_t> strides(shape.size()); // of the source, in elements
    std::size_t stride = 1;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        strides[axis] = stride;
        stride *= static_cast<std::size_t>(shape[axis]);
    }
    std::vector<std::int64_t> at(shape.size());
    std::size_t from = 0;
    for (std::size_t to = 0; to < bytes.size(); to += size) {
        std::memcpy(result.data() + to, bytes.data() + from * size, size);
        for (std::size_t axis = shape.size(); axis-- > 0;) {
            from += strides[axis];
            if (++at[axis] < shape[axis]) {
                break;
            }
            from -= strides[axis] * static_cast<std::size_t>(shape[axis]);
            at[axis] = 0;
        }
    }
    return result;
}

} // namespace detail

/// An array of a .npy file's bytes, which `owner` keeps: the tensor points into them, but for one in Fortran's order,
/// which is copied row by row. `place` names it in the Error thrown for what is damaged, and for big-endian numbers,
/// complex ones, texts, objects and records, which are no tensors.
[[nodiscard]] inline HostTensor read_npy(std::span<const std::byte> file, std::shared_ptr<const void> owner,
                                         const std::string& place) {
    const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
    require(text.starts_with(detail::npy_mark) && text.size() >= 10, place, ": not an array of numpy's (.npy)");
    const auto format = std::to_integer<int>(file[6]);
    require(format >= 1 && format <= 3, place, ": an array of version ", format, "; expected 1 to 3");
    const std::size_t begin = format == 1 ? 10 : 12;
    require(file.size() >= begin, place, ": the array's header is cut off");
    const std::uint64_t length = format == 1 ? detail::load_little<std::uint16_t>(file, 8)
                                              : std::uint64_t{detail::load_little<std::uint32_t>(file, 8)};
    require(length <= file.size() - begin, place, ": the array's header is cut off");
    const auto header = detail::NpyHeaderReader(text.substr(begin, length), place).read();

    std::string descr = header.descr;
    if (descr.size() == 3 && descr[2] == '1') {
        descr[0] = '|'; // bytes have no order
    }
    const auto* const type = ranges::find(detail::npy_types, std::string_view(descr), &detail::NpyType::descr);
    require(type != detail::npy_types.end(), place, ": an array of \"", header.descr,
            "\"; expected float64, float32, float16, int64, int32, int16, int8, uint8 or bool, little-endian");
    HostTensor tensor{type->dtype, header.shape, file.data() + begin + length, std::move(owner)};
    const std::uint64_t bytes =
        checked_element_count(tensor.shape, size_of(tensor.dtype), place) * size_of(tensor.dtype);
    require(bytes == file.size() - begin - length, place, ": shape ", shape_text(tensor.shape), " of ",
            name_of(tensor.dtype), " is ", bytes, " bytes, but ", file.size() - begin - length, " are there");
    if (header.fortran_order && tensor.shape.size() > 1) {
        auto rows = std::make_shared<const std::vector<std::byte>>(
            detail::in_row_order(tensor.bytes(), tensor.shape, size_of(tensor.dtype)));
        tensor.data = rows->data();
        tensor.owner = std::move(rows);
    }
    return tensor;
}

/// The bytes of a .npy file, version 1.0. bfloat16, which numpy does not know, becomes float32.
[[nodiscard]] inline std::vector<std::byte> npy_bytes(const HostTensor& tensor) {
    if (tensor.dtype == DType::bf16) {
        return npy_bytes(HostTensor::make(tensor.shape, tensor.to_vector<float>()));
    }
    const auto* const type = ranges::find(detail::npy_types, tensor.dtype, &detail::NpyType::dtype);
    std::string header = concat_text("{'descr': '", type->descr, "', 'fortran_order': False, 'shape': (");
    for (const std::int64_t extent : tensor.shape) {
        header += std::to_string(extent) + (tensor.shape.size() == 1 ? "," : ", ");
    }
    if (tensor.shape.size() > 1) {
        header.resize(header.size() - 2);
    }
    header += "), }";
    header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 11, ' '); // elements begin at a multiple of 64
    header += '\n';
    std::string start(detail::npy_mark);
    start += {'\x01', '\x00', static_cast<char>(header.size() & 255U), static_cast<char>(header.size() >> 8U)};
    start += header;
    std::vector<std::byte> bytes(start.size() + tensor.byte_count());
    std::memcpy(bytes.data(), start.data(), start.size());
    if (tensor.byte_count() != 0) {
        std::memcpy(bytes.data() + start.size(), tensor.data, tensor.byte_count());
    }
    return bytes;
}

} // namespace reel
