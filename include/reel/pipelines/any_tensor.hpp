#pragma once
// A float tensor wherever it lies: what stages of a pipeline hand on without a copy.

#include <memory>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include <reel/backend/cpu/cpu.hpp>
#include <reel/pipelines/clip_layout.hpp>

namespace reel {

/// A handle for a Tensor<float, B> of some backend. Copies share the elements. Undefined when made with nothing, or
/// with an undefined tensor.
class AnyTensor {
public:
    AnyTensor() = default;

    template <Backend B>
    AnyTensor(Tensor<float, B> tensor) { // NOLINT: a handle for the same thing
        if (tensor.defined()) {
            held_ = std::make_shared<const HeldOn<B>>(std::move(tensor));
        }
    }

    [[nodiscard]] bool defined() const { return held_ != nullptr; }

    /// Of a defined tensor.
    [[nodiscard]] Shape shape() const { return held().shape(); }
    [[nodiscard]] index_t shape(int axis) const { return shape()[axis]; }

    /// The elements, row by row.
    [[nodiscard]] std::vector<float> to_host() const { return held().to_host(); }

    /// The tensor itself. Throws Error where it lies on another backend than B.
    template <Backend B>
    [[nodiscard]] const Tensor<float, B>& on() const {
        const void* tensor = held().get(typeid(B));
        require(tensor != nullptr, "AnyTensor: a tensor of shape ", shape(), " lies on another backend; bring it over ",
                "with to_host()");
        return *static_cast<const Tensor<float, B>*>(tensor);
    }

    /// In the CPU's memory: the tensor itself where it lies there, else a copy.
    [[nodiscard]] Tensor<float, Cpu> on_cpu(Cpu& cpu) const {
        if (const void* tensor = held().get(typeid(Cpu))) {
            return *static_cast<const Tensor<float, Cpu>*>(tensor);
        }
        const std::vector<float> values = to_host();
        return Tensor<float, Cpu>::from_host(cpu, shape(), std::span<const float>(values));
    }

private:
    struct Held {
        virtual ~Held() = default;
        [[nodiscard]] virtual Shape shape() const = 0;
        [[nodiscard]] virtual std::vector<float> to_host() const = 0;
        [[nodiscard]] virtual const void* get(const std::type_info& backend) const = 0;
    };

    template <Backend B>
    struct HeldOn final : Held {
        explicit HeldOn(Tensor<float, B> its_tensor) : tensor(std::move(its_tensor)) {}
        [[nodiscard]] Shape shape() const override { return tensor.shape(); }
        [[nodiscard]] std::vector<float> to_host() const override { return tensor.to_host(); }
        [[nodiscard]] const void* get(const std::type_info& backend) const override {
            return backend == typeid(B) ? &tensor : nullptr;
        }
        Tensor<float, B> tensor;
    };

    [[nodiscard]] const Held& held() const {
        require(held_ != nullptr, "AnyTensor: undefined, and asked for its elements");
        return *held_;
    }

    std::shared_ptr<const Held> held_;
};

/// As a file holds it, axes unchanged.
[[nodiscard]] inline HostTensor to_file(const AnyTensor& x) {
    return HostTensor::make(file_shape(x.shape()), x.to_host());
}

} // namespace reel
