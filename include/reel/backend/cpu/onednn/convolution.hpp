#pragma once
#ifdef REEL_ONEDNN

#include <reel/backend/cpu/onednn/conv_pieces.hpp>
#include <reel/backend/cpu/onednn/packed_kernel.hpp>

namespace reel::cpu::onednn {

/// True when oneDNN can do it and it is not tiny.
[[nodiscard]] inline bool suits(const ConvGeometry& g) {
    if (g.dilation_in != 1 || g.out_rows() * g.out_channels * g.patch() < (1 << 18)) {
        return false;
    }
    const index_t below = pad_after(g.height, g.kernel_h, g.stride, g.pad_top, g.out_height);
    const index_t right = pad_after(g.width, g.kernel_w, g.stride, g.pad_left, g.out_width);
    const auto usual = [&](index_t before, index_t after, index_t kernel) {
        return before >= 0 && before < kernel && after > -g.stride && after < kernel;
    };
    return usual(g.pad_top, below, g.kernel_h) && usual(g.pad_left, right, g.kernel_w);
}

/// A convolution as oneDNN describes it.
struct ConvShape {
    Desc x;
    Desc y;
    Desc kernel; ///< in the layout that oneDNN chooses
    Desc bias;
    dnnl::memory::dims strides;
    dnnl::memory::dims before;
    dnnl::memory::dims after;

    ConvShape(const ConvGeometry& g, Type x_type, Type y_type, Type kernel_type, Type bias_type = Type::f32)
        : x({g.images, g.in_channels, g.height, g.width}, x_type, Tag::nhwc),
          y({g.images, g.out_channels, g.out_height, g.out_width}, y_type, Tag::nhwc),
          kernel({g.out_channels, g.in_channels, g.kernel_h, g.kernel_w}, kernel_type, Tag::any),
          bias({g.out_channels}, bias_type, Tag::x), strides{g.stride, g.stride}, before{g.pad_top, g.pad_left},
          after{pad_after(g.height, g.kernel_h, g.stride, g.pad_top, g.out_height),
                pad_after(g.width, g.kernel_w, g.stride, g.pad_left, g.out_width)} {}

    [[nodiscard]] dnnl::convolution_forward::primitive_desc forward(const Library& library, bool with_bias) const {
        constexpr auto kind = dnnl::prop_kind::forward_inference;
        constexpr auto algorithm = dnnl::algorithm::convolution_direct;
        const auto described = [&](const auto&... memories) {
            return describe<dnnl::convolution_forward>(library.engine(), own_scratchpad(), kind, algorithm, memories...,
                                                       strides, before, after);
        };
        return with_bias ? described(x, kernel, bias, y) : described(x, kernel, y);
    }

    /// Of the kind `Primitive` of a convolution `of`.
    template <class Primitive>
    [[nodiscard]] auto gradient(const Library& library, const dnnl::convolution_forward::primitive_desc& of) const {
        return describe_gradient<Primitive>(library.engine(), own_scratchpad(), of, dnnl::algorithm::convolution_direct,
                                            x, kernel, y, strides, before, after);
    }
};

template <class T>
[[nodiscard]] Library::Key key_of(const ConvGeometry& g, bool bf16, bool bias) {
    return {g.images,     g.height,    g.width,  g.in_channels, g.out_channels,
            g.kernel_h,   g.kernel_w,  g.stride, g.pad_top,     g.pad_left,
            g.out_height, g.out_width, bf16,     bias,          std::same_as<T, bfloat16>};
}

template <class T>
[[nodiscard]] const Forward& forward_of(Library& library, const ConvGeometry& g, bool bf16, bool bias) {
    return library.get<Forward>(key_of<T>(g, bf16, bias), [&] {
        const Type type = bf16 ? Type::bf16 : Type::f32;
        const auto d = ConvShape(g, type, type_of<T>, type, type_of<T>).forward(library, bias);
        return Forward{d, dnnl::convolution_forward(d)};
    });
}

template <class T>
[[nodiscard]] const InputGradient& input_gradient_of(Library& library, const ConvGeometry& g, bool bf16) {
    return library.get<InputGradient>(key_of<T>(g, bf16, false), [&] {
        const Type type = bf16 ? Type::bf16 : Type::f32;
        const ConvShape c(g, type_of<T>, type, type);
        const auto d = c.gradient<dnnl::convolution_backward_data>(
            library, ConvShape(g, type, Type::f32, type).forward(library, false));
        return InputGradient{d, dnnl::convolution_backward_data(d)};
    });
}

[[nodiscard]] inline const KernelGradient& kernel_gradient_of(Library& library, const ConvGeometry& g, bool bf16) {
    return library.get<KernelGradient>(key_of<float>(g, bf16, false), [&] {
        const Type type = bf16 ? Type::bf16 : Type::f32;
        const ConvShape c(g, type, type, Type::f32);
        const auto d = c.gradient<dnnl::convolution_backward_weights>(
            library, ConvShape(g, type, Type::f32, type).forward(library, false));
        return KernelGradient{d, dnnl::convolution_backward_weights(d)};
    });
}

/// A kernel in the layout that the first piece of such a convolution wants. Null where pieces multiply another type
/// than the kernel's, so that it would be rounded for good.
template <class T>
[[nodiscard]] std::shared_ptr<const PackedKernel<T>> pack_kernel(Cpu& backend, const ConvGeometry& g, const T* kernel) {
    Library& library = backend.extension<Library>();
    const bool bf16 = rounds<T>(backend);
    if (bf16 && !std::same_as<T, bfloat16>) {
        return nullptr;
    }
    const Alone here;
    const auto parts = pieces_of(g, backend.threads(), false);
    const Desc wanted = forward_of<T>(library, parts.front().front().g, bf16, true).description.weights_desc();
    return std::make_shared<const PackedKernel<T>>(backend, g, wanted, kernel);
}

/// As generic::convolution, of a kernel in any layout.
template <class T>
void convolution(Cpu& backend, const ConvGeometry& g, const T* x, const dnnl::memory& kernel, const T* bias, T* y) {
    Library& library = backend.extension<Library>();
    const bool bf16 = rounds<T>(backend);
    const Operand input(backend, x, g.images * g.height * g.width * g.in_channels, bf16);
    const auto parts = pieces_of(g, backend.threads(), false);
    KernelLayouts kernels(backend, library, kernel);
    const Alone here;
    for (const auto& part : parts) {
        for (const ConvPiece& piece : part) {
            kernels.add(forward_of<T>(library, piece.g, bf16, bias != nullptr).description.weights_desc());
        }
    }
    backend.for_each_task(static_cast<index_t>(parts.size()), [&](index_t part) {
        const Alone there;
        for (const ConvPiece& piece : parts[static_cast<std::size_t>(part)]) {
            const Forward& made = forward_of<T>(library, piece.g, bf16, bias != nullptr);
            const auto& d = made.description;
            Arguments arguments{{DNNL_ARG_SRC, {d.src_desc(), library.engine(), input.at(piece.x)}},
                                {DNNL_ARG_WEIGHTS, kernels[d.weights_desc()]},
                                {DNNL_ARG_DST, {d.dst_desc(), library.engine(), y + piece.y}}};
            if (bias != nullptr) {
                arguments.emplace(DNNL_ARG_BIAS, dnnl::memory(d.bias_desc(), library.engine(), const_cast<T*>(bias)));
            }
            execute(backend, library, made, std::move(arguments));
        }
    });
}

/// As generic::convolution_input_gradient, of a kernel in any layout.
template <class T>
void convolution_input_gradient(Cpu& backend, const ConvGeometry& g, const T* y_gradient, const dnnl::memory& kernel,
                                T* x_gradient) {
    Library& library = backend.extension<Library>();
    const bool bf16 = rounds<T>(backend);
    const Operand output(backend, y_gradient, g.out_rows() * g.out_channels, bf16);
    const auto parts = pieces_of(g, backend.threads(), true);
    KernelLayouts kernels(backend, library, kernel);
    const Alone here;
    for (const auto& part : parts) {
        for (const ConvPiece& piece : part) {
            if (piece.g.out_height > 0) {
                kernels.add(input_gradient_of<T>(library, piece.g, bf16).description.weights_desc());
            }
        }
    }
    backend.for_each_task(static_cast<index_t>(parts.size()), [&](index_t part) {
        const Alone there;
        for (const ConvPiece& piece : parts[static_cast<std::size_t>(part)]) {
            if (piece.g.out_height <= 0) { // rows below what the last output sees
                std::fill_n(x_gradient + piece.x, piece.g.height * g.width * g.in_channels, T(0));
                continue;
            }
            const InputGradient& made = input_gradient_of<T>(library, piece.g, bf16);
            const auto& d = made.description;
            execute(backend, library, made,
                    {{DNNL_ARG_DIFF_DST, {d.diff_dst_desc(), library.engine(), output.at(piece.y)}},
                     {DNNL_ARG_WEIGHTS, kernels[d.weights_desc()]},
                     {DNNL_ARG_DIFF_SRC, {d.diff_src_desc(), library.engine(), x_gradient + piece.x}}});
        }
    });
}

/// As generic::convolution_kernel_gradient. Every part sums its own rows; the parts' sums are added in order.
template <class T>
void convolution_kernel_gradient(Cpu& backend, const ConvGeometry& g, const T* x, const T* y_gradient,
                                 float* kernel_gradient, bool bf16) {
    Library& library = backend.extension<Library>();
    const Operand input(backend, x, g.images * g.height * g.width * g.in_channels, bf16);
    const Operand output(backend, y_gradient, g.out_rows() * g.out_channels, bf16);
    const auto parts = pieces_of(g, backend.threads(), false);
    std::vector<index_t> first{0}; // each part's first piece
    for (const auto& part : parts) {
        first.push_back(first.back() + static_cast<index_t>(part.size()));
    }
    const index_t count = g.out_channels * g.patch();
    const Scratch<float> others(backend, (first.back() - 1) * count);
    const auto sums = [&](index_t piece) { return piece == 0 ? kernel_gradient : others.data() + (piece - 1) * count; };
    backend.for_each_task(static_cast<index_t>(parts.size()), [&](index_t part) {
        const Alone there;
        index_t at = first[static_cast<std::size_t>(part)];
        for (const ConvPiece& piece : parts[static_cast<std::size_t>(part)]) {
            const KernelGradient& made = kernel_gradient_of(library, piece.g, bf16);
            const auto& d = made.description;
            const Desc given = d.diff_weights_desc();
            const Scratch<std::byte> packed(backend, static_cast<index_t>(given.get_size()));
            const dnnl::memory gradient(given, library.engine(), packed.data());
            execute(backend, library, made,
                    {{DNNL_ARG_SRC, {d.src_desc(), library.engine(), input.at(piece.x)}},
                     {DNNL_ARG_DIFF_DST, {d.diff_dst_desc(), library.engine(), output.at(piece.y)}},
                     {DNNL_ARG_DIFF_WEIGHTS, gradient}});
            reorder(backend, library, gradient, plain_kernel(library, g, sums(at++)));
        }
    });
    if (first.back() > 1) {
        backend.for_each_range(
            count,
            [&](index_t begin, index_t end) {
                for (index_t piece = 1; piece < first.back(); ++piece) {
                    const float* sum = sums(piece);
                    for (index_t i = begin; i < end; ++i) {
                        kernel_gradient[i] += sum[i];
                    }
                }
            },
            1 << 14);
    }
}

} // namespace reel::cpu::onednn

#endif // REEL_ONEDNN
