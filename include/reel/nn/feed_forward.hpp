#pragma once

#include <reel/nn/couples.hpp>
#include <reel/nn/parts.hpp>

namespace reel {

/// diffusers' FeedForward with GEGLU: net.0.proj to twice four times the channels, net.2 back.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct FeedForward {
    LinearOf<Parts, T, B> expand;
    LinearOf<Parts, T, B> contract;

    explicit FeedForward(index_t channels) : expand(channels, 8 * channels), contract(4 * channels, channels) {}

    static void members(auto& self, const auto& visit) {
        visit("net.0.proj", self.expand);
        visit("net.2", self.contract);
    }

    [[nodiscard]] Couples couples() const { return couples_of(expand); }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return contract(geglu(expand(x)));
    }
};

} // namespace reel
