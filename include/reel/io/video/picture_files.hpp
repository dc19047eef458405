#pragma once
// Which files a clip is: itself, or pictures in a folder or of a pattern. No other library.

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

/// Whether a name comes before another as people number files: 2 before 10.
[[nodiscard]] inline bool natural_less(std::string_view a, std::string_view b) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < a.size() && j < b.size()) {
        if (!is_digit(a[i]) || !is_digit(b[j])) {
            if (a[i] != b[j]) {
                return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
            }
            ++i;
            ++j;
            continue;
        }
        const auto number = [&](std::string_view text, std::size_t& at) {
            const std::size_t start = std::min(text.find_first_not_of('0', at), text.size());
            for (at = start; at < text.size() && is_digit(text[at]); ++at) {
            }
            return text.substr(start, at - start);
        };
        const std::string_view x = number(a, i);
        const std::string_view y = number(b, j);
        if (x != y) {
            return x.size() != y.size() ? x.size() < y.size() : x < y;
        }
    }
    return a.size() - i != b.size() - j ? a.size() - i < b.size() - j : a < b;
}

namespace detail {

/// Pictures that a folder may hold.
inline bool is_picture_name(const std::filesystem::path& path) {
    std::string extension = path.extension().string();
    ranges::transform(extension, extension.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    constexpr std::array<std::string_view, 7> known{".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"};
    return ranges::find(known, extension) != known.end() && !path.filename().string().starts_with(".");
}

/// A name as of printf with one number: "frame-%05d.png".
struct NumberedName {
    std::string before;
    std::string after;
    std::size_t digits = 1; ///< at least

    [[nodiscard]] static std::optional<NumberedName> of(const std::string& name) {
        const std::size_t at = name.find('%');
        const std::size_t end = at == std::string::npos ? at : name.find('d', at);
        if (end == std::string::npos || name.find('%', end) != std::string::npos || end - at > 4) {
            return std::nullopt;
        }
        const std::string width = name.substr(at + 1, end - at - 1);
        if (!ranges::all_of(width, [](unsigned char c) { return std::isdigit(c) != 0; })) {
            return std::nullopt;
        }
        const std::size_t digits = width.empty() ? 1 : static_cast<std::size_t>(std::stoi(width));
        return NumberedName{name.substr(0, at), name.substr(end + 1), std::max<std::size_t>(digits, 1)};
    }

    [[nodiscard]] bool fits(const std::string& name) const {
        if (name.size() < before.size() + digits + after.size() || !name.starts_with(before) ||
            !name.ends_with(after)) {
            return false;
        }
        const std::string_view number =
            std::string_view(name).substr(before.size(), name.size() - before.size() - after.size());
        return ranges::all_of(number, [](unsigned char c) { return std::isdigit(c) != 0; }) &&
               (number.size() == digits || number[0] != '0');
    }
};

template <class Wanted>
std::vector<std::filesystem::path> files_in_order(const std::filesystem::path& folder, const Wanted& wanted) {
    std::vector<std::filesystem::path> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder.empty() ? "." : folder, error)) {
        std::error_code ignored;
        if (entry.is_regular_file(ignored) && wanted(entry.path())) {
            found.push_back(folder / entry.path().filename());
        }
    }
    require(!error, "cannot read folder ", folder.string(), ": ", error.message());
    ranges::sort(
        found, [](const auto& a, const auto& b) { return natural_less(a.filename().string(), b.filename().string()); });
    return found;
}

} // namespace detail

/// The pictures that a clip is made of, in the order of their names' numbers, where `path` is a folder, or a pattern
/// such as "frames/frame-%05d.png"; nothing where it is anything else. Throws Error where there are none.
[[nodiscard]] inline std::optional<std::vector<std::filesystem::path>>
picture_files(const std::filesystem::path& path) {
    std::error_code ignored;
    std::vector<std::filesystem::path> found;
    if (std::filesystem::is_directory(path, ignored)) {
        found = detail::files_in_order(path, detail::is_picture_name);
        require(!found.empty(), "cannot read video ", path.string(),
                ": it is a folder without pictures (png, jpg, bmp, webp, tif); expected a video file or a folder of "
                "pictures");
        return found;
    }
    const auto pattern = detail::NumberedName::of(path.filename().string());
    if (!pattern || std::filesystem::exists(path, ignored) ||
        !std::filesystem::is_directory(path.has_parent_path() ? path.parent_path() : ".", ignored)) {
        return std::nullopt;
    }
    found = detail::files_in_order(path.parent_path(),
                                   [&](const auto& file) { return pattern->fits(file.filename().string()); });
    require(!found.empty(), "cannot read video ", path.string(), ": no file has a name of this pattern");
    return found;
}

} // namespace reel
