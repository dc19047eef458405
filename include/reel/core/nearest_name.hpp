#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

/// Number of insertions, deletions, replacements and swaps of neighbours between two words (optimal string
/// alignment distance).
[[nodiscard]] inline std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before_last(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        row[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        before_last.swap(last);
        last.swap(row);
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before_last[j - 2] + 1);
            }
        }
    }
    return row[b.size()];
}

/// The candidate that `name` was probably meant to be, or "" when none is near: at most a third of the letters, and
/// at least two of a longer name, may differ. Of equally near ones, the first.
template <class Names>
[[nodiscard]] std::string nearest_name(std::string_view name, const Names& candidates) {
    if (name.size() > 256) {
        return {}; // the comparison takes quadratic time
    }
    std::size_t best = std::min(std::max<std::size_t>(2, name.size() / 3) + 1, name.size()); // distances below it
    std::string nearest;
    for (const auto& item : candidates) {
        const std::string_view candidate = item;
        const std::size_t shorter = std::min(name.size(), candidate.size());
        if (std::max(name.size(), candidate.size()) - shorter >= best) {
            continue; // the lengths alone differ by more
        }
        const std::size_t distance = edit_distance(name, candidate);
        if (distance < best) {
            best = distance;
            nearest = std::string(candidate);
        }
    }
    return nearest;
}

/// " (did you mean "x"?)" for messages, or "" when no candidate is near.
template <class Names>
[[nodiscard]] std::string did_you_mean(std::string_view name, const Names& candidates) {
    const std::string nearest = nearest_name(name, candidates);
    return nearest.empty() ? std::string() : " (did you mean \"" + nearest + "\"?)";
}

} // namespace reel
