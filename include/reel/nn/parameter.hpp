#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <reel/nn/later_value.hpp>

namespace reel {

/// How a parameter's axes in a checkpoint map to its axes in memory.
enum class ParameterLayout {
    plain,     ///< the same
    conv,      ///< file [out, in, h, w], memory [out, h, w, in]
    pointwise, ///< file [out, in, 1, 1], memory [out, in]
};

/// How an untrained parameter starts, after PyTorch's defaults.
enum class ParameterInit {
    zeros,
    ones,
    fan_in_uniform, ///< uniform in +-1/sqrt(fan_in): torch.nn.Linear and Conv2d
    normal,         ///< normal with a standard deviation of its own
};

/// What is known of a parameter before it has values.
struct ParameterSpec {
    Shape shape; ///< in memory
    ParameterLayout layout = ParameterLayout::plain;
    ParameterInit init = ParameterInit::zeros;
    index_t fan_in = 1;     ///< of fan_in_uniform
    double deviation = 1.0; ///< of normal

    /// The shape that a checkpoint gives.
    [[nodiscard]] Shape file_shape() const {
        switch (layout) {
        case ParameterLayout::conv:
            return {shape[0], shape[3], shape[1], shape[2]};
        case ParameterLayout::pointwise:
            return {shape[0], shape[1], 1, 1};
        case ParameterLayout::plain:
            break;
        }
        return shape;
    }
};

/// A named tensor of a module. Undefined until it is loaded or initialised; frozen until it is told to train.
template <Scalar T, Backend B = Cpu>
class Parameter {
public:
    using value_type = T;
    using backend_type = B;

    explicit Parameter(ParameterSpec spec) : spec_(std::move(spec)) {}

    [[nodiscard]] const ParameterSpec& spec() const { return spec_; }
    [[nodiscard]] const Tensor<T, B>& value() const { return variable().value(); }
    [[nodiscard]] const Variable<T, B>& variable() const { return later_ ? later_->made() : variable_; }
    [[nodiscard]] Tensor<T, B> grad() const { return variable_.grad(); }
    /// True when it has a value, or will have one as soon as it is asked for.
    [[nodiscard]] bool defined() const { return later_ || variable_.defined(); }
    [[nodiscard]] bool requires_grad() const { return trains_; }

    /// Throws Error when the shape is not the declared one. What is to be trained gets memory of its own if `value`
    /// looks at someone else's, such as a mapped file.
    void set(Tensor<T, B> value) {
        exact_ = nullptr;
        assign(std::move(value));
    }

    /// set() when the value is asked for first, with what `make` gives then: a large model is there at once, and
    /// memory is taken for what is used. Any thread may ask. `make` must give the declared shape.
    void set_later(std::function<Tensor<T, B>()> make) {
        if (trains_) {
            set(make());
            return;
        }
        exact_ = nullptr;
        variable_ = {};
        later_ = std::make_shared<LaterValue<T, B>>(std::move(make));
    }

    /// Another form of a value that set_later() told of and that value() has not been asked for, such as a layout of
    /// the backend's: what `pack` makes of it the first time, a pointer, and the same from then on. The value itself is
    /// let go; should it be asked for, unpack() of the form gives it, and it stays, and the form goes. Null where there
    /// is such a value already, or `pack` gives null. Any thread may ask.
    template <class Pack>
    [[nodiscard]] auto in_place_of_value(const Pack& pack) const {
        using Form = decltype(pack(std::declval<const Tensor<T, B>&>()));
        return later_ ? later_->template packed<Form>(pack) : Form{};
    }

    /// True for a value that set_later() told of and that has not been asked for.
    [[nodiscard]] bool waits() const { return later_ && !later_->is_made(); }

    /// True when the value, or the form in its place, has been made.
    [[nodiscard]] bool in_memory() const { return later_ ? later_->in_memory() : variable_.defined(); }

    /// Of 16 bits, it starts from exact(), and keeps what it had become when it trains no more.
    void train(bool on) {
        if (later_ && !on) {
            return; // nothing of it has trained
        }
        const Tensor<compute_t<T>, B> kept = master_;
        trains_ = on;
        if (defined()) {
            assign(value());
        }
        if constexpr (narrow) {
            if (kept.defined()) {
                if (on) {
                    master_ = kept;
                } else {
                    exact_ = [kept] { return kept; };
                }
            } else if (on && exact_) {
                const Tensor<compute_t<T>, B> unrounded = exact_();
                master_ = unrounded.owns_memory() ? unrounded : unrounded.clone();
            }
        }
    }

    /// What an optimizer changes: the value itself. Of a 16-bit parameter that trains it is a copy in float, where
    /// steps add up that are too small for 16 bits; undefined while it does not train. Micikevicius et al. 2017,
    /// arXiv:1710.03740.
    [[nodiscard]] Tensor<compute_t<T>, B> master() const {
        if constexpr (narrow) {
            return master_;
        } else {
            return value();
        }
    }

    /// Gives a 16-bit parameter the value that is this, rounded, and the float copy should it train, now or later; sets
    /// others as set().
    void set_master(Tensor<compute_t<T>, B> master) {
        set(detail::stored_as<T>(master));
        if constexpr (narrow) {
            if (trains_) {
                master_ = master.owns_memory() ? std::move(master) : master.clone();
            } else {
                exact_ = [master] { return master; };
            }
        }
    }

    /// Tells of a 16-bit parameter with a value how to have that unrounded, such as from the file it came from: so that
    /// it need not be kept for those that never train. Forgotten when it gets another value.
    void set_exact(std::function<Tensor<compute_t<T>, B>()> exact) {
        if constexpr (narrow) {
            exact_ = std::move(exact);
        }
    }

    /// The value with all the digits there are: of a 16-bit parameter that trains, its float copy; of another, what
    /// set_exact() leads to, or else the value.
    [[nodiscard]] Tensor<compute_t<T>, B> exact() const {
        if constexpr (narrow) {
            return master_.defined() ? master_ : (exact_ ? exact_() : cast<compute_t<T>>(read()));
        } else {
            return read();
        }
    }

    /// The gradient in the master's type.
    [[nodiscard]] Tensor<compute_t<T>, B> master_grad() const {
        if constexpr (narrow) {
            return grad().defined() ? cast<compute_t<T>>(grad()) : Tensor<compute_t<T>, B>{};
        } else {
            return grad();
        }
    }

    /// After an optimizer's step: the value becomes the master, rounded, where they are two.
    void round_master() const {
        if constexpr (narrow) {
            if (master_.defined()) {
                value().copy_from(cast<T>(master_));
            }
        }
    }

    void zero_grad() const {
        if (variable_.node()) {
            variable_.node()->gradient = {};
        }
    }

    /// The parameter as the kind of value that an input is: a tensor computes, a variable computes and records.
    template <class V>
    [[nodiscard]] const V& as() const {
        if constexpr (std::same_as<V, Tensor<T, B>>) {
            return value();
        } else {
            static_assert(std::same_as<V, Variable<T, B>>,
                          "reel: a module takes a Tensor or a Variable of its own scalar and backend");
            return variable();
        }
    }

private:
    static constexpr bool narrow = !std::same_as<T, compute_t<T>>;

    /// The value, without keeping it where another form is kept.
    [[nodiscard]] Tensor<T, B> read() const { return later_ ? later_->read() : variable_.value(); }

    void assign(Tensor<T, B> value) {
        require(value.shape() == spec_.shape, "Parameter: ", value.shape(), " given, ", spec_.shape, " declared");
        if (trains_ && !value.owns_memory()) {
            value = value.clone();
        }
        if constexpr (narrow) {
            master_ = trains_ ? cast<compute_t<T>>(value) : Tensor<compute_t<T>, B>{};
        }
        later_ = nullptr;
        variable_ = trains_ ? Variable<T, B>::leaf(std::move(value)) : Variable<T, B>(std::move(value));
    }

    ParameterSpec spec_;
    Variable<T, B> variable_;
    std::shared_ptr<LaterValue<T, B>> later_;        ///< instead of variable_, or null
    Tensor<compute_t<T>, B> master_;                 ///< of a 16-bit parameter that trains
    std::function<Tensor<compute_t<T>, B>()> exact_; ///< of a 16-bit parameter that does not, or empty
    bool trains_ = false;
};

template <class P>
inline constexpr bool is_parameter = false;
template <Scalar T, Backend B>
inline constexpr bool is_parameter<Parameter<T, B>> = true;

} // namespace reel
