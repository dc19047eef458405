#pragma once
// Golden files as tests use them: tensors in reel's layout, comparisons in the file's.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <reel/io/weights/safetensors.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/tensor.hpp>

namespace reel_test {

/// Values of any number type as doubles.
inline std::vector<double> numbers(const reel::HostTensor& tensor) {
    if (tensor.dtype == reel::DType::i64) {
        const auto integers = tensor.to_vector<std::int64_t>();
        return {integers.begin(), integers.end()};
    }
    return tensor.to_vector<double>();
}

inline reel::Shape shape_of(const reel::HostTensor& tensor) {
    return {tensor.shape.begin(), tensor.shape.end()};
}

template <class T>
reel::Tensor<T> to_tensor(reel::Cpu& cpu, const reel::HostTensor& tensor) {
    const auto values = tensor.to_vector<T>();
    return reel::Tensor<T>::from_host(cpu, shape_of(tensor), std::span<const T>(values));
}

/// A safetensors file of tests/golden/.
class Golden {
public:
    explicit Golden(const std::string& name) : tensors_(reel::read_safetensors("golden/" + name + ".safetensors")) {}

    [[nodiscard]] const reel::StateDict& tensors() const { return tensors_; }

    [[nodiscard]] const reel::HostTensor& at(const std::string& name) const {
        const auto found = tensors_.find(name);
        reel::require(found != tensors_.end(), "the golden file has no \"", name, "\"");
        return found->second;
    }
    [[nodiscard]] std::vector<double> values(const std::string& name) const { return numbers(at(name)); }

    /// As stored.
    template <class T>
    [[nodiscard]] reel::Tensor<T> tensor(reel::Cpu& cpu, const std::string& name) const {
        return to_tensor<T>(cpu, at(name));
    }
    /// A clip [B, C, F, H, W] as [B * F, H, W, C].
    template <class T>
    [[nodiscard]] reel::Tensor<T> clip(reel::Cpu& cpu, const std::string& name) const {
        const auto x = reel::permute(tensor<T>(cpu, name), {0, 2, 3, 4, 1});
        return x.reshape({x.shape(0) * x.shape(1), x.shape(2), x.shape(3), x.shape(4)});
    }
    /// Pictures [N, C, H, W] as [N, H, W, C].
    template <class T>
    [[nodiscard]] reel::Tensor<T> pictures(reel::Cpu& cpu, const std::string& name) const {
        return reel::permute(tensor<T>(cpu, name), {0, 2, 3, 1});
    }

private:
    reel::StateDict tensors_;
};

/// [B * F, H, W, C] as files hold it: [B, C, F, H, W].
template <class T>
reel::Tensor<T> clip_order(const reel::Tensor<T>& x, reel::index_t frames) {
    const auto clips = x.reshape({x.shape(0) / frames, frames, x.shape(1), x.shape(2), x.shape(3)});
    return reel::permute(clips, {0, 4, 1, 2, 3});
}

/// [N, H, W, C] as files hold it: [N, C, H, W].
template <class T>
reel::Tensor<T> picture_order(const reel::Tensor<T>& x) {
    return reel::permute(x, {0, 3, 1, 2});
}

/// Largest difference over the largest expected value; infinity where sizes differ or a value is not finite.
template <class T>
double relative_error(const std::vector<T>& found, const std::vector<double>& expected) {
    if (found.size() != expected.size() || found.empty()) {
        return INFINITY;
    }
    double largest = 0;
    double difference = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double gap = std::abs(static_cast<double>(found[i]) - expected[i]);
        if (!std::isfinite(gap)) {
            return INFINITY;
        }
        difference = std::max(difference, gap);
        largest = std::max(largest, std::abs(expected[i]));
    }
    return largest > 0 ? difference / largest : (difference > 0 ? INFINITY : 0);
}
template <class T>
double relative_error(const reel::Tensor<T>& found, const reel::HostTensor& expected) {
    return found.shape() == shape_of(expected) ? relative_error(found.to_host(), numbers(expected)) : INFINITY;
}

/// The same between two results of reel.
template <class T>
double difference(const reel::Tensor<T>& found, const reel::Tensor<T>& expected) {
    const auto values = expected.to_host();
    return found.shape() == expected.shape()
               ? relative_error(found.to_host(), std::vector<double>(values.begin(), values.end()))
               : INFINITY;
}

/// Checks errors against a bound and at its end prints the worst of them.
class Agreement {
public:
    Agreement(std::string what, double bound) : what_(std::move(what)), bound_(bound) {}
    Agreement(const Agreement&) = delete;
    Agreement& operator=(const Agreement&) = delete;
    ~Agreement() {
        std::printf("  %-46s %3d compared, worst %.1e (allowed %.0e) %s\n", what_.c_str(), count_, worst_, bound_,
                    where_.c_str());
    }

    void check(const std::string& label, double error) {
        ++count_;
        if (!(error <= worst_)) {
            worst_ = error;
            where_ = label;
        }
        INFO(what_, ": ", label);
        CHECK(error <= bound_);
    }

private:
    std::string what_;
    double bound_;
    double worst_ = 0;
    std::string where_;
    int count_ = 0;
};

template <class T>
bool same_bits(const reel::Tensor<T>& a, const reel::Tensor<T>& b) {
    return a.shape() == b.shape() &&
           std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
}

/// "float" or "double".
template <class T>
std::string scalar_name() {
    return std::same_as<T, float> ? "float" : "double";
}

} // namespace reel_test
