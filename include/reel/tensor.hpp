#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include <reel/backend/backend.hpp>
#include <reel/backend/cpu/cpu.hpp>
#include <reel/core/shape.hpp>

namespace reel {

namespace functors {

template <class T>
struct Fill {
    T* data;
    T value;
    constexpr void operator()(index_t i) const { data[i] = value; }
};

} // namespace functors

/// A contiguous, row-major array in a backend's memory. A value type with shared storage: copies are cheap and see the
/// same elements, as in PyTorch. A default-constructed tensor is undefined (`defined()` is false) and has no backend.
template <class T, class B = Cpu>
class Tensor {
    static_assert(check_backend<B>());

public:
    using value_type = T;
    using backend_type = B;

    Tensor() = default;
    // Called, not repeated in every function that has tensors: compilers take a third of the time.
    [[gnu::noinline]] Tensor(const Tensor&) = default;
    [[gnu::noinline]] Tensor(Tensor&&) noexcept = default;
    [[gnu::noinline]] Tensor& operator=(const Tensor&) = default;
    [[gnu::noinline]] Tensor& operator=(Tensor&&) noexcept = default;
    [[gnu::noinline]] ~Tensor() = default;

    /// Uninitialised elements. The backend must outlive the tensor.
    Tensor(B& backend, const Shape& shape) : shape_(shape) {
        const std::size_t bytes = static_cast<std::size_t>(shape.size()) * sizeof(T);
        storage_ = std::make_shared<Storage>(backend, backend.allocate(bytes), bytes);
        data_ = static_cast<T*>(storage_->block);
    }

    /// Looks at memory that someone else keeps: `owner` is held as long as the tensor's storage lives.
    Tensor(B& backend, const Shape& shape, T* data, std::shared_ptr<const void> owner) : data_(data), shape_(shape) {
        storage_ = std::make_shared<Storage>(backend, nullptr, 0, std::move(owner));
    }

    static Tensor full(B& backend, const Shape& shape, T value) {
        Tensor result(backend, shape);
        result.fill(value);
        return result;
    }
    static Tensor zeros(B& backend, const Shape& shape) { return full(backend, shape, T{}); }

    /// Copies `values` (row-major). Throws Error when their number is not the shape's.
    static Tensor from_host(B& backend, const Shape& shape, std::span<const T> values) {
        require(static_cast<index_t>(values.size()) == shape.size(), "Tensor::from_host: ", values.size(),
                " values for shape ", shape);
        Tensor result(backend, shape);
        backend.copy_from_host(result.data_, values.data(), values.size_bytes());
        return result;
    }
    static Tensor from_host(B& backend, const Shape& shape, std::initializer_list<T> values) {
        return from_host(backend, shape, std::span<const T>(values.begin(), values.size()));
    }

    [[nodiscard]] std::vector<T> to_host() const {
        std::vector<T> values(static_cast<std::size_t>(size()));
        if (!values.empty()) {
            backend().copy_to_host(values.data(), data_, values.size() * sizeof(T));
        }
        return values;
    }

    /// The value of a tensor of one element. Throws Error for any other.
    [[nodiscard]] T item() const {
        require(size() == 1, "item: expected one element, got ", shape_);
        return to_host()[0];
    }

    [[nodiscard]] bool defined() const { return storage_ != nullptr; }
    [[nodiscard]] const Shape& shape() const { return shape_; }
    [[nodiscard]] index_t shape(int axis) const { return shape_[axis]; }
    [[nodiscard]] int rank() const { return shape_.rank(); }
    [[nodiscard]] index_t size() const { return defined() ? shape_.size() : 0; }
    [[nodiscard]] T* data() const { return data_; }
    [[nodiscard]] B& backend() const {
        require(defined(), "Tensor: an undefined tensor has no backend");
        return *storage_->backend;
    }

    /// False for memory that someone else keeps, which may be read-only.
    [[nodiscard]] bool owns_memory() const { return defined() && storage_->block != nullptr; }

    /// True when no other tensor shares this one's elements, so that they may be overwritten.
    [[nodiscard]] bool unique() const { return storage_.use_count() == 1; }

    /// The same elements under another shape; one extent may be -1. Throws Error when the sizes differ.
    [[nodiscard]] Tensor reshape(const std::initializer_list<index_t>& extents) const {
        Shape target;
        index_t known = 1;
        int open = -1;
        for (const index_t extent : extents) {
            if (extent == -1) {
                require(open == -1, "reshape: more than one extent is -1");
                open = target.rank();
                target.append(0);
            } else {
                known *= extent;
                target.append(extent);
            }
        }
        if (open != -1) {
            require(known != 0 && size() % known == 0, "reshape: ", shape_, " has no whole number of rows of ", known);
            target = target.with(open, size() / known);
        }
        return reshape(target);
    }
    [[nodiscard]] Tensor reshape(const Shape& target) const {
        require(target.size() == size(), "reshape: ", shape_, " to ", target, ": the sizes differ");
        Tensor result = *this;
        result.shape_ = target;
        return result;
    }

    /// Rows [begin, end) of the leading axis: a view.
    [[nodiscard]] Tensor slice(index_t begin, index_t end) const {
        require(rank() > 0 && begin >= 0 && begin <= end && end <= shape_[0], "slice: rows ", begin, " to ", end,
                " of ", shape_);
        Tensor result = *this;
        result.data_ = data_ + begin * (shape_[0] == 0 ? 0 : size() / shape_[0]);
        result.shape_ = shape_.with(0, end - begin);
        return result;
    }

    /// A copy with storage of its own.
    [[nodiscard]] Tensor clone() const {
        Tensor result(backend(), shape_);
        backend().copy(result.data_, data_, static_cast<std::size_t>(size()) * sizeof(T));
        return result;
    }

    /// Overwrites every element with those of `source`. Throws Error when the shapes differ.
    void copy_from(const Tensor& source) const {
        require(source.shape() == shape_, "copy_from: ", source.shape(), " into ", shape_);
        backend().copy(data_, source.data_, static_cast<std::size_t>(size()) * sizeof(T));
    }

    void fill(T value) const { backend().for_each_index(size(), functors::Fill<T>{data_, value}); }

private:
    struct Storage {
        B* backend;
        void* block;
        std::size_t bytes;
        std::shared_ptr<const void> owner;

        Storage(B& where, void* memory, std::size_t size, std::shared_ptr<const void> keeper = nullptr)
            : backend(&where), block(memory), bytes(size), owner(std::move(keeper)) {}
        Storage(const Storage&) = delete;
        Storage& operator=(const Storage&) = delete;
        ~Storage() {
            if (block != nullptr) {
                backend->deallocate(block, bytes);
            }
        }
    };

    std::shared_ptr<Storage> storage_;
    T* data_ = nullptr;
    Shape shape_;
};

} // namespace reel
