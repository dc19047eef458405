#pragma once
// One layer's adapter: its tensors, and whether they fit the layer. Needs no library.

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/lora/lora_names.hpp>
#include <reel/io/lora/lora_tensor_name.hpp>
#include <reel/io/weights/host_tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace reel {

/// What DoRA's magnitudes belong to.
enum class DoraAxis { none, output, input };

/// The tensors of an adapter of one layer, from one file. With r for the rank, and t for a kernel's places:
///
///     lora  down [r, in, t...], up [out, r]; or down [r, in], mid [r, r, t...]
///     loha  w1_a [out, r], w1_b [r, in * t], w2_a, w2_b; or w1_a [r, out], w1_b [r, in], t1 [r, r, t...], w2_a, w2_b,
///     t2 lokr  w1 [l, m] or w1_a [l, r], w1_b [r, m]; w2 [p, n, t...] or w2_a [p, r], w2_b [r, n * t], or w2_a [r, p],
///           w2_b [r, n], t2 [r, r, t...]; out = l * p, in = m * n
///
/// Trailing ones count for nothing, so that a layer and a convolution of 1 x 1 can have each other's.
struct LoraAdapter {
    LoraTarget target;
    LoraKind kind = LoraKind::lora;
    std::string stem{}; ///< as the file spells the layer
    std::map<LoraRole, HostTensor> tensors{};
    double factor = 1; ///< of the change, such as alpha / r
    DoraAxis dora = DoraAxis::none;

    [[nodiscard]] bool has(LoraRole role) const { return tensors.contains(role); }
    [[nodiscard]] const HostTensor& at(LoraRole role) const { return tensors.at(role); }

    /// The rank of what is factored; nothing for a LoKr of two whole factors.
    [[nodiscard]] std::optional<std::int64_t> rank() const {
        for (const LoraRole role : {LoraRole::down, LoraRole::w2_b, LoraRole::w1_b}) {
            if (has(role)) {
                return at(role).shape.front();
            }
        }
        return std::nullopt;
    }
};

namespace detail {

using LoraShape = std::vector<std::int64_t>;

/// A shape without ones at its end, of two numbers at least.
[[nodiscard]] inline LoraShape squeezed(LoraShape shape) {
    while (shape.size() > 2 && shape.back() == 1) {
        shape.pop_back();
    }
    return shape;
}

[[nodiscard]] inline std::int64_t product(const LoraShape& shape, std::size_t first) {
    return std::accumulate(shape.begin() + static_cast<std::ptrdiff_t>(std::min(first, shape.size())), shape.end(),
                           std::int64_t{1}, std::multiplies<>());
}

/// Checks an adapter's tensors against each other, then against the layer.
class LoraChecker {
public:
    LoraChecker(const LoraAdapter& adapter, const std::string& where) : adapter_(adapter), where_(where) {}

    void check() const {
        check_roles();
        for (const auto& [role, tensor] : adapter_.tensors) {
            if (role == LoraRole::alpha || role == LoraRole::dora_scale || role == LoraRole::magnitude) {
                continue;
            }
            const auto& shape = tensor.shape;
            require(shape.size() >= 2 && shape.size() <= 4, place(), "a factor has shape ", shape_text(shape),
                    ", expected 2 to 4 numbers");
            require(ranges::find(shape, 0) == shape.end(), place(), "a factor has shape ", shape_text(shape),
                    "; a rank of 0 adapts nothing");
        }
        const auto [out, rest] = adapter_.kind == LoraKind::lora   ? lora_size()
                                 : adapter_.kind == LoraKind::loha ? loha_size()
                                                                   : lokr_size();
        const LoraShape weight = squeezed(adapter_.target.shape);
        require(out == weight[0] && rest == product(weight, 1), place(), "made for a layer of ", rest,
                " values in and ", out, " out, but this model's ", adapter_.target.module, " has ", product(weight, 1),
                " and ", weight[0], " (is it for another Stable Diffusion, or another width?)");
    }

    [[nodiscard]] DoraAxis dora_axis() const {
        const bool by_name = adapter_.has(LoraRole::magnitude);
        if (!by_name && !adapter_.has(LoraRole::dora_scale)) {
            return DoraAxis::none;
        }
        const LoraShape& shape = adapter_.at(by_name ? LoraRole::magnitude : LoraRole::dora_scale).shape;
        const LoraShape& weight = adapter_.target.shape;
        const std::int64_t count = product(shape, 0);
        if (count == weight[0] && (shape.size() <= 1 || shape[0] == count)) {
            return DoraAxis::output;
        }
        if (by_name && count == weight[0] && shape.size() == 4 && shape[1] == count) {
            return DoraAxis::output; // as PEFT has a convolution's: [1, out, 1, 1]
        }
        require(count == weight[1] && shape.size() >= 2 && shape[1] == count, place(), "DoRA's magnitudes have shape ",
                shape_text(shape), ", expected one for each of ", weight[0], " outputs or ", weight[1], " inputs");
        return DoraAxis::input;
    }

private:
    using Size = std::pair<std::int64_t, std::int64_t>; ///< values out; values in times places

    [[nodiscard]] std::string place() const { return concat_text(where_, ": \"", adapter_.stem, "\": "); }
    [[nodiscard]] const LoraShape& shape(LoraRole role) const { return adapter_.at(role).shape; }

    void need(LoraRole role, const char* name) const {
        require(adapter_.has(role), place(), "the tensor \"", name, "\" is missing");
    }
    /// Both or none.
    [[nodiscard]] bool pair(LoraRole a, LoraRole b, const char* name) const {
        require(adapter_.has(a) == adapter_.has(b), place(), "one of \"", name, "_a\" and \"", name, "_b\" is missing");
        return adapter_.has(a);
    }

    void check_roles() const {
        switch (adapter_.kind) {
        case LoraKind::lora:
            need(LoraRole::down, "lora_down (lora_A)");
            need(LoraRole::up, "lora_up (lora_B)");
            break;
        case LoraKind::loha:
            need(LoraRole::w1_a, "hada_w1_a");
            need(LoraRole::w1_b, "hada_w1_b");
            need(LoraRole::w2_a, "hada_w2_a");
            need(LoraRole::w2_b, "hada_w2_b");
            require(adapter_.has(LoraRole::t1) == adapter_.has(LoraRole::t2), place(),
                    "one of \"hada_t1\" and \"hada_t2\" is missing");
            break;
        case LoraKind::lokr:
            for (const auto& [whole, a, b, name] :
                 {std::tuple{LoraRole::w1, LoraRole::w1_a, LoraRole::w1_b, "lokr_w1"},
                  std::tuple{LoraRole::w2, LoraRole::w2_a, LoraRole::w2_b, "lokr_w2"}}) {
                require(pair(a, b, name) != adapter_.has(whole), place(), "expected either \"", name, "\" or \"", name,
                        "_a\" and \"", name, "_b\"");
            }
            require(!adapter_.has(LoraRole::t2) || adapter_.has(LoraRole::w2_a), place(),
                    "\"lokr_t2\" is there without \"lokr_w2_a\"");
            break;
        }
    }

    void same_rank(std::int64_t a, std::int64_t b) const {
        require(a == b, place(), "its factors have ranks ", a, " and ", b, ", expected one rank");
    }
    void core_fits(LoraRole core, std::int64_t left, std::int64_t right) const {
        require(shape(core).size() == 4, place(), "its middle tensor has shape ", shape_text(shape(core)),
                ", expected [rank, rank, height, width]");
        same_rank(shape(core)[0], left);
        same_rank(shape(core)[1], right);
    }
    /// The convolution's places, where a core has them.
    [[nodiscard]] std::int64_t places(LoraRole core) const {
        const LoraShape& weight = adapter_.target.shape;
        const LoraShape& kernel = shape(core);
        require(weight.size() == 4 && std::equal(kernel.begin() + 2, kernel.end(), weight.begin() + 2), place(),
                "made for a kernel of ", kernel[2], " x ", kernel[3], ", but ", adapter_.target.module, " has shape ",
                shape_text(weight));
        return product(kernel, 2);
    }

    /// What follows the rank: as the weight has it, or in one row.
    void tail_fits(LoraRole role) const {
        const LoraShape tail = squeezed(shape(role));
        const LoraShape weight = squeezed(adapter_.target.shape);
        require(tail.size() == 2 ||
                    (tail.size() == weight.size() && std::equal(tail.begin() + 2, tail.end(), weight.begin() + 2)),
                place(), "a factor has shape ", shape_text(shape(role)), ", which does not fit the weight's ",
                shape_text(adapter_.target.shape));
    }

    [[nodiscard]] Size lora_size() const {
        const LoraShape up = squeezed(shape(LoraRole::up));
        const LoraShape& down = shape(LoraRole::down);
        require(up.size() == 2, place(), "its factor up has shape ", shape_text(shape(LoraRole::up)),
                ", expected [out, rank]");
        if (adapter_.has(LoraRole::mid)) {
            require(product(down, 2) == 1, place(), "beside a middle tensor its factor down has shape ",
                    shape_text(down), ", expected [rank, in]");
            core_fits(LoraRole::mid, up[1], down[0]);
            return {up[0], down[1] * places(LoraRole::mid)};
        }
        same_rank(up[1], down[0]);
        tail_fits(LoraRole::down);
        return {up[0], product(down, 1)};
    }

    [[nodiscard]] Size half_size(LoraRole a, LoraRole b, LoraRole core) const {
        if (adapter_.has(core)) {
            require(product(shape(a), 2) == 1 && product(shape(b), 2) == 1, place(), "factors beside a middle tensor ",
                    "have shapes ", shape_text(shape(a)), " and ", shape_text(shape(b)), ", expected two numbers each");
            core_fits(core, shape(a)[0], shape(b)[0]);
            return {shape(a)[1], shape(b)[1] * places(core)};
        }
        require(product(shape(a), 2) == 1, place(), "a factor has shape ", shape_text(shape(a)),
                ", expected [values, rank]");
        same_rank(shape(a)[1], shape(b)[0]);
        return {shape(a)[0], product(shape(b), 1)};
    }

    [[nodiscard]] Size loha_size() const {
        const Size one = half_size(LoraRole::w1_a, LoraRole::w1_b, LoraRole::t1);
        const Size two = half_size(LoraRole::w2_a, LoraRole::w2_b, LoraRole::t2);
        require(one == two, place(), "its two products have [", one.first, ", ", one.second, "] and [", two.first, ", ",
                two.second, "] values, expected the same");
        return one;
    }

    [[nodiscard]] Size lokr_size() const {
        const bool whole = adapter_.has(LoraRole::w1);
        require(!whole || product(shape(LoraRole::w1), 2) == 1, place(), "its \"lokr_w1\" has more than two numbers");
        const Size left = whole ? Size{shape(LoraRole::w1)[0], shape(LoraRole::w1)[1]}
                                : half_size(LoraRole::w1_a, LoraRole::w1_b, LoraRole::t1);
        const Size right = adapter_.has(LoraRole::w2) ? Size{shape(LoraRole::w2)[0], product(shape(LoraRole::w2), 1)}
                                                      : half_size(LoraRole::w2_a, LoraRole::w2_b, LoraRole::t2);
        return {left.first * right.first, left.second * right.second};
    }

    const LoraAdapter& adapter_;
    const std::string& where_;
};

} // namespace detail

/// Throws Error, which starts with `where` and names the layer, unless the tensors make up a change of the layer's
/// weight; says then what DoRA's magnitudes belong to.
[[nodiscard]] inline DoraAxis check_adapter(const LoraAdapter& adapter, const std::string& where) {
    const detail::LoraChecker checker(adapter, where);
    checker.check();
    return checker.dora_axis();
}

} // namespace reel
