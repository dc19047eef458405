#pragma once
// What reel's use of oneDNN shares. Empty unless REEL_ONEDNN is defined; then it needs oneDNN 2.6 to 3 that was built
// on OpenMP, as Debian's libdnnl-dev is, and libgomp.
#ifdef REEL_ONEDNN

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>

#if __has_include(<omp.h>)
#include <omp.h>
#else // clang without its own OpenMP: the same library, whose two functions are all that is needed
extern "C" {
int omp_get_max_threads();
void omp_set_num_threads(int);
}
#endif
#include <oneapi/dnnl/dnnl.hpp>

#include <reel/backend/cpu/onednn/versions.hpp>
#include <reel/backend/cpu/widen.hpp>
#include <reel/backend/problems.hpp>

namespace reel::cpu::onednn {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;
using Arguments = std::unordered_map<int, dnnl::memory>;

/// Calls oneDNN; what it throws becomes an Error.
template <class Call>
decltype(auto) guarded(const Call& call) {
    try {
        return call();
    } catch (const dnnl::error& error) {
        fail("oneDNN: ", error.what(), " (status ", static_cast<int>(error.status),
             "); configure with -DREEL_ONEDNN=OFF to do without it");
    }
}

/// A primitive and the layouts it wants.
template <class PrimitiveDescription, class Primitive>
struct Made {
    PrimitiveDescription description;
    Primitive primitive;
};

using Forward = Made<dnnl::convolution_forward::primitive_desc, dnnl::convolution_forward>;
using InputGradient = Made<dnnl::convolution_backward_data::primitive_desc, dnnl::convolution_backward_data>;
using KernelGradient = Made<dnnl::convolution_backward_weights::primitive_desc, dnnl::convolution_backward_weights>;
using Product = Made<dnnl::matmul::primitive_desc, dnnl::matmul>;

/// What the backend keeps for oneDNN: the engine, and primitives by what they compute, because making one takes
/// milliseconds. Primitives hold code, no data; any number of threads may run one at once.
class Library {
public:
    using Key = std::array<index_t, 16>;

    [[nodiscard]] const dnnl::engine& engine() const { return engine_; }

    /// The primitive of a key, made by `make` the first time.
    template <class M, class Make>
    [[nodiscard]] const M& get(const Key& key, const Make& make) {
        auto& table = std::get<std::map<Key, M>>(tables_);
        const std::lock_guard lock(mutex_);
        const auto found = table.find(key);
        return found != table.end() ? found->second : table.emplace(key, guarded(make)).first->second;
    }

private:
    dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
    std::mutex mutex_;
    std::tuple<std::map<Key, Forward>, std::map<Key, InputGradient>, std::map<Key, KernelGradient>,
               std::map<Key, Product>>
        tables_;
};

/// While it lives oneDNN makes and runs primitives of this thread on this thread alone. reel's pool is what shares out
/// the work: a second set of threads would fight it, and OpenMP's spin while they wait.
class Alone {
public:
    Alone() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;
    ~Alone() { omp_set_num_threads(before_); }

private:
    int before_;
};

/// Primitives find their working memory among their arguments, so that threads can share a primitive.
[[nodiscard]] inline dnnl::primitive_attr own_scratchpad() {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attributes;
}

/// Runs a primitive that was made with own_scratchpad().
template <class M>
void execute(Cpu& backend, Library& library, const M& made, Arguments arguments) {
    const Desc wanted = made.description.scratchpad_desc();
    const Scratch<std::byte> scratch(backend, static_cast<index_t>(wanted.get_size()));
    guarded([&] {
        arguments.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(wanted, library.engine(), scratch.data()));
        dnnl::stream stream(library.engine());
        made.primitive.execute(stream, arguments);
        stream.wait();
    });
}

using Reorder = Made<dnnl::reorder::primitive_desc, dnnl::reorder>;

/// Copies from one layout and type to another.
inline void reorder(Cpu& backend, Library& library, const dnnl::memory& from, const dnnl::memory& to) {
    const Reorder made = guarded([&] {
        const dnnl::reorder::primitive_desc d(from, to, own_scratchpad());
        return Reorder{d, dnnl::reorder(d)};
    });
    execute(backend, library, made, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

/// Tensors' element types that oneDNN multiplies.
template <class T>
inline constexpr bool is_served = std::same_as<T, float> || std::same_as<T, bfloat16>;

template <class T>
inline constexpr Type type_of = std::same_as<T, bfloat16> ? Type::bf16 : Type::f32;

/// True when the processor has instructions for products of T.
template <class T>
[[nodiscard]] bool multiplies() {
    constexpr auto bits = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
    return std::same_as<T, float> || (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

/// True when products of this backend multiply bfloat16: factors of that type, or floats rounded to it.
template <class T = float>
[[nodiscard]] bool rounds(const Cpu& backend) {
    return multiplies<bfloat16>() &&
           (std::same_as<T, bfloat16> || backend.float32_matmul_precision == Float32MatmulPrecision::medium);
}

/// An operand in the type that is multiplied: the elements themselves, or a bfloat16 copy of floats.
template <class T>
class Operand {
public:
    Operand(Cpu& backend, const T* values, index_t count, bool rounded)
        : values_(values), copy_(backend, copies(rounded) ? count : 0) {
        if constexpr (std::same_as<T, float>) {
            if (rounded) {
                store(backend, values, count, copy_.data());
                values_ = nullptr;
            }
        }
    }

    /// From element `offset` on. oneDNN has no const memory; an operand is only read.
    [[nodiscard]] void* at(index_t offset) const {
        return values_ != nullptr ? static_cast<void*>(const_cast<T*>(values_ + offset))
                                  : static_cast<void*>(copy_.data() + offset);
    }

private:
    static constexpr bool copies(bool rounded) { return std::same_as<T, float> && rounded; }

    const T* values_;
    Scratch<bfloat16> copy_;
};

} // namespace reel::cpu::onednn

#endif // REEL_ONEDNN
