#pragma once

#include <cstddef>
#include <vector>

namespace reel {

/// For each token of an edited prompt, where its attention comes from: with p of the clip's prompt and e of the edited
/// one, e'[j] = weight[j] (sum over i of p[i] share[i, j] + own[j] e[j]).
struct TokenAlignment {
    std::size_t tokens = 0;      ///< of either prompt, with start, end and padding
    std::vector<float> share{};  ///< [tokens of the clip's prompt, tokens of the edited one]
    std::vector<float> own{};    ///< [tokens]
    std::vector<float> weight{}; ///< [tokens]

    /// Where nothing comes from the clip.
    explicit TokenAlignment(std::size_t count)
        : tokens(count), share(count * count), own(count, 1.0F), weight(count, 1.0F) {}

    void take(std::size_t source, std::size_t edited, float part = 1) {
        share[source * tokens + edited] = part;
        own[edited] = 0;
    }
};

} // namespace reel
