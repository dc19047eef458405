#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <reel/core/error.hpp>

namespace reel {

/// The connected regions of a picture of marks.
struct Regions {
    std::vector<int> labels; ///< [height * width]: 0 where there is no mark, else the region's number, from 1
    std::vector<int> sizes;  ///< marks in region 1, 2, ...
};

/// Finds the regions of neighbouring marks in [height, width], diagonal neighbours included, numbered in the order of
/// their first mark. Throws Error when the sizes disagree.
[[nodiscard]] inline Regions connected_regions(std::span<const std::uint8_t> marks, int height, int width) {
    require(height > 0 && width > 0 &&
                marks.size() == static_cast<std::size_t>(height) * static_cast<std::size_t>(width),
            "connected_regions: ", marks.size(), " marks for ", height, "x", width, " pixels");
    Regions regions{std::vector<int>(marks.size(), 0), {}};
    std::vector<int> open;
    for (int first = 0; first < height * width; ++first) {
        if (marks[static_cast<std::size_t>(first)] == 0 || regions.labels[static_cast<std::size_t>(first)] != 0) {
            continue;
        }
        const int number = static_cast<int>(regions.sizes.size()) + 1;
        int size = 0;
        regions.labels[static_cast<std::size_t>(first)] = number;
        open.push_back(first);
        while (!open.empty()) {
            const int at = open.back();
            open.pop_back();
            ++size;
            const int top = std::max(at / width - 1, 0);
            const int bottom = std::min(at / width + 1, height - 1);
            const int left = std::max(at % width - 1, 0);
            const int right = std::min(at % width + 1, width - 1);
            for (int y = top; y <= bottom; ++y) {
                for (int x = left; x <= right; ++x) {
                    const auto next = static_cast<std::size_t>(y * width + x);
                    if (marks[next] != 0 && regions.labels[next] == 0) {
                        regions.labels[next] = number;
                        open.push_back(y * width + x);
                    }
                }
            }
        }
        regions.sizes.push_back(size);
    }
    return regions;
}

} // namespace reel
