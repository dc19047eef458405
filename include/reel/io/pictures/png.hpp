#pragma once
// PNG pictures in and out. Needs libpng 1.6.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>

#include <png.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace reel {

namespace detail {

/// libpng's simplified interface: its errors come back as values, so no longjmp crosses a C++ frame.
struct PngImage {
    png_image image{};

    PngImage() { image.version = PNG_IMAGE_VERSION; }
    PngImage(const PngImage&) = delete;
    PngImage& operator=(const PngImage&) = delete;
    ~PngImage() { png_image_free(&image); }
};

} // namespace detail

/// One frame as the bytes of a PNG file (8-bit RGB, sRGB). The same frame always gives the same bytes.
[[nodiscard]] inline std::vector<std::byte> encode_png(const Frames& frames, int index = 0) {
    require_frames(frames, "encode_png");
    detail::PngImage png;
    png.image.width = static_cast<png_uint_32>(frames.width);
    png.image.height = static_cast<png_uint_32>(frames.height);
    png.image.format = PNG_FORMAT_RGB;
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png.image);
    std::vector<std::byte> bytes(size);
    const int written =
        png_image_write_to_memory(&png.image, bytes.data(), &size, 0, frames.frame(index).data(), 0, nullptr);
    require(written != 0, "encode_png: libpng cannot encode ", frames.width, "x", frames.height, ": ",
            png.image.message);
    bytes.resize(size);
    return bytes;
}

/// Writes one frame as a PNG file, complete or not at all. Throws Error when it cannot be written.
inline void write_png(const std::filesystem::path& path, const Frames& frames, int index = 0) {
    require_frames(frames, concat_text("write_png(", path.string(), ")"));
    AtomicFile file(path);
    file.write(encode_png(frames, index));
    file.commit();
}

/// The picture in a PNG file's bytes, as one frame of 8-bit RGB. Palettes, grey and 16 bits are converted as libpng
/// does; what is transparent is laid on black. `name` begins error messages.
/// Throws Error when the bytes are no PNG, are cut off or damaged, or the picture is larger than max_picture_side or
/// max_picture_pixels.
[[nodiscard]] inline Frames decode_png(std::span<const std::byte> bytes, const std::string& name) {
    detail::PngImage png;
    // libpng stops at the last row and would not miss a cut after it, nor the checksum that the cut took.
    constexpr std::string_view end("\0\0\0\0IEND\xae\x42\x60\x82", 12);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    require(text.starts_with("\x89PNG\r\n\x1a\n"), name, ": not a PNG picture");
    require(text.rfind(end) != std::string_view::npos, name, ": the PNG is cut off: it has no end");
    require(png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size()) != 0, name,
            ": the PNG is damaged: ", png.image.message);
    const std::uint64_t width = png.image.width;
    const std::uint64_t height = png.image.height;
    require(width <= max_picture_side && height <= max_picture_side, name, ": a picture of ", width, "x", height,
            " is larger than ", max_picture_side, " pixels a side");
    require(width * height <= static_cast<std::uint64_t>(max_picture_pixels), name, ": a picture of ", width, "x",
            height, " has more than ", max_picture_pixels, " pixels");
    // Deflate cannot shrink more than 1032 times and a pixel has at least one bit, so a header that promises more
    // than the file can hold is refused before memory is taken for it.
    require(width * height / 8 <= 1032 * static_cast<std::uint64_t>(bytes.size()), name, ": its header says ", width,
            "x", height, " pixels, which its ", bytes.size(), " bytes cannot hold");
    png.image.format = PNG_FORMAT_RGB;
    Frames frames = make_frames(1, static_cast<int>(height), static_cast<int>(width));
    const png_color black{0, 0, 0};
    require(png_image_finish_read(&png.image, &black, frames.rgb.data(), 0, nullptr) != 0, name,
            ": the PNG is damaged or cut off: ", png.image.message);
    return frames;
}

/// Reads a PNG file. See decode_png; further errors: a missing or unreadable file, or one above 1 GiB.
[[nodiscard]] inline Frames read_png(const std::filesystem::path& path) {
    const std::string name = path.string();
    std::error_code error;
    require(std::filesystem::exists(path, error), "cannot read picture ", name, ": there is no such file");
    require(std::filesystem::is_regular_file(path, error), "cannot read picture ", name, ": it is not a file");
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    require(!error && size <= (std::uintmax_t{1} << 30), "cannot read picture ", name, ": its size is ",
            error ? error.message() : concat_text(size, " bytes, above 1 GiB"));
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    require(file.good() && static_cast<std::uintmax_t>(file.gcount()) == size, "cannot read picture ", name,
            ": reading failed");
    return decode_png(bytes, name);
}

} // namespace reel
