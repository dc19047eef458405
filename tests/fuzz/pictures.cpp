// A GIF's blocks and a PNG.

#include "fuzz/fuzz.hpp"

#include <reel/io/pictures/png.hpp>
#include <reel/io/video/gif_blocks.hpp>

#include <optional>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::size_t asked = 0;
    (void)reel::gif_has_trailer([&](std::int64_t at) -> std::optional<std::uint8_t> {
        ++asked;
        return at >= 0 && static_cast<std::size_t>(at) < size ? std::optional(data[at]) : std::nullopt;
    });
    fuzz::expect(asked <= 2 * size + 8);
    fuzz::attempt([&] {
        const reel::Frames picture = reel::decode_png(std::as_bytes(std::span(data, size)), "fuzz");
        fuzz::expect(picture.rgb.size() == picture.frame_bytes());
    });
    return 0;
}
