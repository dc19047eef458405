#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/tensor.hpp>

namespace reel {

namespace functors {

/// y[i] = x[i] + (other_y[i] - other_x[i])
template <class T>
struct TakeChange {
    const T* x;
    const T* other_x;
    const T* other_y;
    T* y;
    constexpr void operator()(index_t i) const { y[i] = x[i] + (other_y[i] - other_x[i]); }
};

} // namespace functors

/// How much each frame of `moved` differs from `clean`, both [frames, h, w, channels]: sums of absolute differences.
template <Real T, Backend B>
[[nodiscard]] std::vector<double> frame_changes(const Tensor<T, B>& clean, const Tensor<T, B>& moved) {
    require(clean.rank() == 4 && clean.shape() == moved.shape(), "frame_changes: ", clean.shape(), " and ",
            moved.shape(), "; expected two of [frames, h, w, channels]");
    const std::vector<T> before = clean.to_host();
    const std::vector<T> after = moved.to_host();
    std::vector<double> changes(static_cast<std::size_t>(clean.shape(0)), 0.0);
    const std::size_t frame = before.size() / std::max<std::size_t>(changes.size(), 1);
    for (std::size_t i = 0; i < before.size(); ++i) {
        changes[i / frame] += std::abs(static_cast<double>(after[i]) - static_cast<double>(before[i]));
    }
    return changes;
}

/// For each frame the one whose change it is to have: itself, or where its own is less than `below` times the largest,
/// the nearest frame with that much (the earlier of two). Where no frame has, as with changes that are not numbers,
/// itself.
[[nodiscard]] inline std::vector<std::size_t> frames_to_take(const std::vector<double>& changes, double below) {
    const double enough = changes.empty() ? 0 : below * *ranges::max_element(changes);
    std::vector<std::size_t> from(changes.size());
    for (std::size_t frame = 0; frame < from.size(); ++frame) {
        from[frame] = frame;
        const auto has = [&](std::size_t other) { return other < changes.size() && changes[other] >= enough; };
        for (std::size_t away = 0; away < from.size(); ++away) {
            if (has(frame - away) || has(frame + away)) { // frame - away wraps around to what is out of range
                from[frame] = has(frame - away) ? frame - away : frame + away;
                break;
            }
        }
    }
    return from;
}

/// Frames of `moved` that have hardly changed against `clean` (frames_to_take()) get the nearest changed frame's
/// change, in place. An edit that has begun in some frames alone is then begun in all. Returns how many got one.
template <Real T, Backend B>
index_t fill_frames(const Tensor<T, B>& clean, Tensor<T, B>& moved, double below) {
    const std::vector<std::size_t> from = frames_to_take(frame_changes(clean, moved), below);
    const index_t frame = clean.shape(0) > 0 ? clean.size() / clean.shape(0) : 0;
    index_t filled = 0;
    for (std::size_t to = 0; to < from.size(); ++to) {
        if (from[to] != to) {
            const index_t there = static_cast<index_t>(to) * frame;
            const index_t here = static_cast<index_t>(from[to]) * frame;
            clean.backend().for_each_index(frame, functors::TakeChange<T>{clean.data() + there, clean.data() + here,
                                                                          moved.data() + here, moved.data() + there});
            ++filled;
        }
    }
    return filled;
}

} // namespace reel
