#pragma once
// What adapters make of a weight, row by row. Needs no library.
//
//     LoRA   W + f B A, and with a core W + f B x (M x A): Hu et al. 2021, arXiv:2106.09685; Yeh et al. 2023,
//            arXiv:2309.14859 (LoCon, the CP decomposition)
//     LoHa   W + f (B1 A1) * (B2 A2): Hyeon-Woo et al. 2021, arXiv:2108.06098
//     LoKr   W + f C (x) (B A), Kronecker's product: Edalati et al. 2022, arXiv:2212.10650
//     DoRA   m (W + d) / |W + d| for any change d: Liu et al. 2024, arXiv:2402.09353
//
// At a scale s of the user's it is W + s (W' - W), of DoRA too, so that 0 leaves a weight as it is.

#include <reel/core/error.hpp>
#include <reel/io/lora/lora_adapter.hpp>
#include <reel/io/weights/host_tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// A matrix, whole or as a product of two, whose rows are computed in double.
class FactoredRows {
public:
    /// A tensor's rows, its other axes in one.
    explicit FactoredRows(const HostTensor& whole)
        : rank_(0), rows_(static_cast<std::size_t>(whole.shape[0])), right_(whole.to_vector<double>()) {}

    /// a [rows, rank] times b [rank, ...].
    FactoredRows(const HostTensor& a, const HostTensor& b)
        : rank_(static_cast<std::size_t>(a.shape[1])), rows_(static_cast<std::size_t>(a.shape[0])),
          left_(a.to_vector<double>()), right_(b.to_vector<double>()) {}

    /// The same with core [i, j, places...] between: a is [rows, i], or where `turned` [i, rows]; b is [j, columns].
    FactoredRows(const HostTensor& a, const HostTensor& core, const HostTensor& b, bool turned)
        : rank_(static_cast<std::size_t>(core.shape[0])), rows_(static_cast<std::size_t>(a.shape[turned ? 1 : 0])),
          left_(a.to_vector<double>()) {
        if (turned) {
            std::vector<double> straight(left_.size());
            for (std::size_t r = 0; r < rank_; ++r) {
                for (std::size_t row = 0; row < rows_; ++row) {
                    straight[row * rank_ + r] = left_[r * rows_ + row];
                }
            }
            left_ = std::move(straight);
        }
        const std::vector<double> m = core.to_vector<double>();
        const std::vector<double> down = b.to_vector<double>();
        const auto inner = static_cast<std::size_t>(core.shape[1]);
        const std::size_t places = m.size() / (rank_ * inner);
        const std::size_t columns = down.size() / inner;
        right_.assign(rank_ * columns * places, 0.0);
        for (std::size_t i = 0; i < rank_; ++i) {
            for (std::size_t j = 0; j < inner; ++j) {
                for (std::size_t column = 0; column < columns; ++column) {
                    for (std::size_t t = 0; t < places; ++t) {
                        right_[(i * columns + column) * places + t] +=
                            m[(i * inner + j) * places + t] * down[j * columns + column];
                    }
                }
            }
        }
    }

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t columns() const { return right_.size() / (rank_ == 0 ? rows_ : rank_); }

    /// Writes a row.
    void row(std::size_t index, std::span<double> to) const {
        const std::size_t n = columns();
        if (rank_ == 0) {
            std::copy_n(right_.data() + index * n, n, to.data());
            return;
        }
        std::fill(to.begin(), to.end(), 0.0);
        for (std::size_t r = 0; r < rank_; ++r) {
            const double factor = left_[index * rank_ + r];
            const double* const from = right_.data() + r * n;
            for (std::size_t i = 0; i < n; ++i) {
                to[i] += factor * from[i];
            }
        }
    }

private:
    std::size_t rank_; ///< 0: whole
    std::size_t rows_;
    std::vector<double> left_;
    std::vector<double> right_;
};

[[nodiscard]] inline FactoredRows factored(const LoraAdapter& adapter, LoraRole a, LoraRole b, LoraRole core) {
    return adapter.has(core) ? FactoredRows(adapter.at(a), adapter.at(core), adapter.at(b), true)
                             : FactoredRows(adapter.at(a), adapter.at(b));
}

/// The left or only product of an adapter.
[[nodiscard]] inline FactoredRows first_rows(const LoraAdapter& adapter) {
    switch (adapter.kind) {
    case LoraKind::loha:
        return factored(adapter, LoraRole::w1_a, LoraRole::w1_b, LoraRole::t1);
    case LoraKind::lokr:
        return adapter.has(LoraRole::w1) ? FactoredRows(adapter.at(LoraRole::w1))
                                         : FactoredRows(adapter.at(LoraRole::w1_a), adapter.at(LoraRole::w1_b));
    default:
        return adapter.has(LoraRole::mid) ? FactoredRows(adapter.at(LoraRole::up), adapter.at(LoraRole::mid),
                                                         adapter.at(LoraRole::down), false)
                                          : FactoredRows(adapter.at(LoraRole::up), adapter.at(LoraRole::down));
    }
}

/// The right product, where there are two.
[[nodiscard]] inline std::optional<FactoredRows> second_rows(const LoraAdapter& adapter) {
    if (adapter.kind == LoraKind::lora) {
        return std::nullopt;
    }
    if (adapter.has(LoraRole::w2)) {
        return FactoredRows(adapter.at(LoraRole::w2));
    }
    return factored(adapter, LoraRole::w2_a, LoraRole::w2_b, LoraRole::t2);
}

} // namespace detail

/// An adapter that is being merged into one weight. Rows may be merged by many threads at a time.
class LoraMerge {
public:
    /// The adapter must fit its target (check_adapter()). `weight`: the layer's, [out, ...], row-major; of it DoRA over
    /// inputs takes norms here.
    LoraMerge(const LoraAdapter& adapter, double scale, std::span<const float> weight)
        : kind_(adapter.kind), dora_(adapter.dora), factor_(adapter.factor), scale_(scale),
          first_(detail::first_rows(adapter)), second_(detail::second_rows(adapter)),
          inputs_(static_cast<std::size_t>(adapter.target.shape[1])),
          columns_(weight.size() / static_cast<std::size_t>(adapter.target.shape[0])) {
        if (dora_ == DoraAxis::none) {
            return;
        }
        const LoraRole role = adapter.has(LoraRole::magnitude) ? LoraRole::magnitude : LoraRole::dora_scale;
        magnitudes_ = adapter.at(role).to_vector<double>();
        if (dora_ == DoraAxis::input) {
            take_norms(weight);
        }
    }

    /// Merges into a row of the weight.
    void row(std::size_t index, std::span<float> values) const {
        std::vector<double> change = changed(index, values);
        if (dora_ == DoraAxis::none) {
            for (std::size_t i = 0; i < columns_; ++i) {
                values[i] = static_cast<float>(static_cast<double>(values[i]) + scale_ * change[i]);
            }
            return;
        }
        double norm = 0;
        for (std::size_t i = 0; i < columns_; ++i) {
            change[i] += static_cast<double>(values[i]);
            norm += change[i] * change[i];
        }
        const std::size_t places = columns_ / inputs_;
        const double of_row = dora_ == DoraAxis::output ? ratio(magnitudes_[index], std::sqrt(norm)) : 0;
        for (std::size_t i = 0; i < columns_; ++i) {
            const double by = dora_ == DoraAxis::output ? of_row : ratio(magnitudes_[i / places], norms_[i / places]);
            const double before = static_cast<double>(values[i]);
            values[i] = static_cast<float>(before + scale_ * (by * change[i] - before));
        }
    }

private:
    /// Nothing of a norm stays nothing, whatever its magnitude.
    [[nodiscard]] static double ratio(double magnitude, double norm) { return norm > 0 ? magnitude / norm : 0; }

    /// factor * change of a row.
    [[nodiscard]] std::vector<double> changed(std::size_t index, std::span<const float> values) const {
        std::vector<double> change(values.size());
        if (kind_ == LoraKind::lokr) {
            const std::size_t below = second_->rows();
            std::vector<double> left(first_.columns());
            std::vector<double> right(second_->columns());
            first_.row(index / below, left);
            second_->row(index % below, right);
            for (std::size_t i = 0; i < left.size(); ++i) {
                for (std::size_t j = 0; j < right.size(); ++j) {
                    change[i * right.size() + j] = left[i] * right[j];
                }
            }
        } else {
            first_.row(index, change);
            if (second_) {
                std::vector<double> other(change.size());
                second_->row(index, other);
                std::transform(change.begin(), change.end(), other.begin(), change.begin(), std::multiplies<>());
            }
        }
        for (double& value : change) {
            value *= factor_;
        }
        return change;
    }

    void take_norms(std::span<const float> weight) {
        norms_.assign(inputs_, 0.0);
        const std::size_t places = columns_ / inputs_;
        for (std::size_t index = 0; index * columns_ < weight.size(); ++index) {
            const auto values = weight.subspan(index * columns_, columns_);
            const std::vector<double> change = changed(index, values);
            for (std::size_t i = 0; i < columns_; ++i) {
                const double value = static_cast<double>(values[i]) + change[i];
                norms_[i / places] += value * value;
            }
        }
        for (double& norm : norms_) {
            norm = std::sqrt(norm);
        }
    }

    LoraKind kind_;
    DoraAxis dora_;
    double factor_;
    double scale_;
    detail::FactoredRows first_;
    std::optional<detail::FactoredRows> second_;
    std::size_t inputs_;
    std::size_t columns_;
    std::vector<double> magnitudes_{};
    std::vector<double> norms_{}; ///< of inputs
};

/// Calls for_rows(count, [](begin, end) {...}) to merge rows, so that whoever has threads can share them out.
inline constexpr auto rows_in_turn = [](std::size_t count, const auto& merge) { merge(std::size_t{0}, count); };

/// A weight with an adapter merged, after another in the order given, as float32. `scaled`: adapters of this weight,
/// each with the user's scale.
template <class ForRows = decltype(rows_in_turn)>
[[nodiscard]] HostTensor merged_weight(const HostTensor& base,
                                       const std::vector<std::pair<const LoraAdapter*, double>>& scaled,
                                       const ForRows& for_rows = rows_in_turn) {
    std::vector<float> values = base.to_vector<float>();
    base.drop_pages(); // so that the weight is not in memory twice
    const auto rows = static_cast<std::size_t>(base.shape.at(0));
    const std::size_t columns = values.size() / rows;
    for (const auto& [adapter, scale] : scaled) {
        if (scale == 0) {
            continue;
        }
        const LoraMerge merge(*adapter, scale, values);
        for_rows(rows, [&](std::size_t begin, std::size_t end) {
            for (std::size_t row = begin; row < end; ++row) {
                merge.row(row, std::span(values).subspan(row * columns, columns));
            }
        });
    }
    return HostTensor::make<float>(base.shape, std::move(values));
}

} // namespace reel
