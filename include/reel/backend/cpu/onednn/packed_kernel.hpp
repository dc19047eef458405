#pragma once
#ifdef REEL_ONEDNN

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <reel/backend/cpu/onednn/primitives.hpp>
#include <reel/core/shape.hpp>

namespace reel::cpu::onednn {

/// A convolution's kernel [out, h, w, in] in memory, as oneDNN describes it.
template <class T>
[[nodiscard]] Desc plain_kernel_desc(const ConvGeometry& g) {
    return {{g.out_channels, g.in_channels, g.kernel_h, g.kernel_w}, type_of<T>, Tag::ohwi};
}

template <class T>
[[nodiscard]] dnnl::memory plain_kernel(const Library& library, const ConvGeometry& g, const T* kernel) {
    return {plain_kernel_desc<T>(g), library.engine(), const_cast<T*>(kernel)};
}

/// Output channels for each thread to copy from one layout to another, in whole blocks of the layouts; all in one where
/// those have other blocks.
[[nodiscard]] inline std::vector<std::pair<Desc, Desc>> reorder_shares(const Desc& from, const Desc& to,
                                                                       index_t threads) {
    constexpr index_t block = 64;
    const auto dims = extents_of(from);
    const index_t count = dims[0] % block == 0 ? std::min<index_t>(threads, dims[0] / block) : 1;
    std::vector<std::pair<Desc, Desc>> parts;
    for (index_t part = 0; part < count && count > 1; ++part) {
        const index_t begin = dims[0] / block * part / count * block;
        const index_t end = dims[0] / block * (part + 1) / count * block;
        auto extents = dims;
        extents[0] = end - begin;
        const dnnl::memory::dims offsets{begin, 0, 0, 0};
        parts.emplace_back(from.submemory_desc(extents, offsets, true), to.submemory_desc(extents, offsets, true));
        if (parts.back().first.is_zero() || parts.back().second.is_zero()) {
            return {{from, to}};
        }
    }
    return count > 1 ? parts : std::vector<std::pair<Desc, Desc>>{{from, to}};
}

/// Copies a kernel from one layout to another on the backend's threads.
inline void reorder_kernel(Cpu& backend, Library& library, const dnnl::memory& from, const dnnl::memory& to) {
    const Alone here;
    const auto parts = reorder_shares(from.get_desc(), to.get_desc(), backend.threads());
    // As tasks, so that a rehearsal only counts them.
    backend.for_each_task(static_cast<index_t>(parts.size()), [&](index_t part) {
        const Alone there;
        const auto& [one, other] = parts[static_cast<std::size_t>(part)];
        reorder(backend, library, dnnl::memory(one, library.engine(), from.get_data_handle()),
                dnnl::memory(other, library.engine(), to.get_data_handle()));
    });
}

/// A kernel of T in a layout of oneDNN's, which it keeps in the backend's memory.
template <class T>
class PackedKernel {
public:
    /// `wanted` is the layout; the kernel is read once.
    PackedKernel(Cpu& backend, const ConvGeometry& g, const Desc& wanted, const T* kernel)
        : backend_(backend), shape_{g.out_channels, g.kernel_h, g.kernel_w, g.in_channels},
          plain_(plain_kernel_desc<T>(g)), bytes_(backend, static_cast<index_t>(wanted.get_size())),
          memory_(wanted, library().engine(), bytes_.data()) {
        reorder_kernel(backend, library(), plain_kernel(library(), g, kernel), memory_);
    }

    /// [out, h, w, in]
    [[nodiscard]] const Shape& shape() const { return shape_; }
    [[nodiscard]] const dnnl::memory& memory() const { return memory_; }

    /// Writes the kernel [out, h, w, in] as it was.
    void unpack(T* kernel) const {
        reorder_kernel(backend_, library(), memory_, dnnl::memory(plain_, library().engine(), kernel));
    }

private:
    [[nodiscard]] Library& library() const { return backend_.extension<Library>(); }

    Cpu& backend_;
    Shape shape_;
    Desc plain_;
    Scratch<std::byte> bytes_;
    dnnl::memory memory_;
};

/// For one call: a kernel in each of the layouts that the pieces' primitives want; mostly that is one. What it is given
/// in such a layout is used as it lies.
class KernelLayouts {
public:
    KernelLayouts(Cpu& backend, Library& library, dnnl::memory given)
        : backend_(backend), library_(library), given_(std::move(given)) {}

    void add(const Desc& wanted) {
        if (find(wanted) == nullptr) {
            packed_.push_back(std::make_unique<One>(backend_, library_, wanted));
            reorder_kernel(backend_, library_, given_, packed_.back()->memory);
        }
    }

    [[nodiscard]] const dnnl::memory& operator[](const Desc& wanted) const { return *find(wanted); }

private:
    struct One {
        Desc desc;
        Scratch<std::byte> bytes;
        dnnl::memory memory;
        One(Cpu& backend, Library& library, const Desc& wanted)
            : desc(wanted), bytes(backend, static_cast<index_t>(wanted.get_size())),
              memory(wanted, library.engine(), bytes.data()) {}
    };

    [[nodiscard]] const dnnl::memory* find(const Desc& wanted) const {
        if (given_.get_desc() == wanted) {
            return &given_;
        }
        const auto found =
            std::find_if(packed_.begin(), packed_.end(), [&](const auto& one) { return one->desc == wanted; });
        return found == packed_.end() ? nullptr : &(*found)->memory;
    }

    Cpu& backend_;
    Library& library_;
    dnnl::memory given_;
    std::vector<std::unique_ptr<One>> packed_;
};

} // namespace reel::cpu::onednn

#endif // REEL_ONEDNN
