#pragma once
// What differs between oneDNN 2 and oneDNN 3, in one place: which one it is, the types tell.
#ifdef REEL_ONEDNN

#include <oneapi/dnnl/dnnl.hpp>

static_assert((DNNL_VERSION_MAJOR == 2 && DNNL_VERSION_MINOR >= 6) || DNNL_VERSION_MAJOR == 3,
              "reel is written for oneDNN 2.6 to 3; configure with -DREEL_ONEDNN=OFF");

namespace reel::cpu::onednn {

/// A primitive's description, of `arguments` as oneDNN names them. Version 2 puts them into a `desc` of their own.
template <class Primitive, class... Arguments>
[[nodiscard]] auto describe(const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
                            const Arguments&... arguments) {
    using Description = typename Primitive::primitive_desc;
    if constexpr (requires { typename Primitive::desc; }) {
        return Description(typename Primitive::desc(arguments...), attributes, engine);
    } else {
        return Description(engine, arguments..., attributes);
    }
}

/// The same of a gradient; `forward` describes what it is the gradient of.
template <class Primitive, class Forward, class... Arguments>
[[nodiscard]] auto describe_gradient(const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
                                     const Forward& forward, const Arguments&... arguments) {
    using Description = typename Primitive::primitive_desc;
    if constexpr (requires { typename Primitive::desc; }) {
        return Description(typename Primitive::desc(arguments...), attributes, engine, forward);
    } else {
        return Description(engine, arguments..., forward, attributes);
    }
}

/// The extents of a memory.
template <class Description>
[[nodiscard]] dnnl::memory::dims extents_of(const Description& description) {
    if constexpr (requires { description.get_dims(); }) {
        return description.get_dims();
    } else {
        return description.dims();
    }
}

} // namespace reel::cpu::onednn

#endif // REEL_ONEDNN
