#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <reel/nn/parameter_spec.hpp>
#include <reel/nn/parameter_state.hpp>

namespace reel {

/// A named tensor of a module. Undefined until it is loaded or initialised; frozen until it is told to train. A copy
/// has the same value, and then goes its own way.
template <Scalar T, Backend B = Cpu>
class Parameter {
public:
    using value_type = T;
    using backend_type = B;

    explicit Parameter(ParameterSpec spec) : spec_(std::move(spec)), state_(std::make_shared<State>()) {}
    [[gnu::noinline]] Parameter(const Parameter& other) // as a tensor's
        : spec_(other.spec_), state_(std::make_shared<State>(*other.state_)) {}
    [[gnu::noinline]] Parameter(Parameter&&) noexcept = default;
    [[gnu::noinline]] Parameter& operator=(const Parameter& other) { return *this = Parameter(other); }
    [[gnu::noinline]] Parameter& operator=(Parameter&&) noexcept = default;
    [[gnu::noinline]] ~Parameter() = default;

    [[nodiscard]] const ParameterSpec& spec() const { return spec_; }
    [[nodiscard]] const Tensor<T, B>& value() const { return variable().value(); }
    /// Of a derived one, a constant; as() gives it recorded.
    [[nodiscard]] const Variable<T, B>& variable() const { return state_->read(); }
    [[nodiscard]] Tensor<T, B> grad() const { return state_->variable.grad(); }
    /// True when it has a value, or will have one as soon as it is asked for.
    [[nodiscard]] bool defined() const { return state_->defined(); }
    /// True when an optimizer is to change it.
    [[nodiscard]] bool requires_grad() const { return state_->trains; }
    /// True when it trains or comes from a parameter that does.
    [[nodiscard]] bool records() const { return state_->records(); }

    /// From now on its value is make(inputs as variables...), a function of other parameters, and of this one as it is
    /// now if that is among them: W + B A of a LoRA, g v / |v| of weight norm. Gradients reach the inputs; they are
    /// trained, this one is not. Where no input trains the value is computed once and kept until one is set; where one
    /// does, anew at every call. The inputs may be moved, go away or be derived themselves; what is set in a copy of
    /// one is not seen here. Throws Error when this one trains, and at the first call unless the shape is the declared
    /// one.
    ///
    ///     weight.derive([](const auto& w, const auto& a, const auto& b) { return w + matmul(b, a); }, weight, down,
    ///     up);
    template <class Make, class... Inputs>
    void derive(Make make, const Inputs&... inputs) {
        static_assert((std::same_as<Inputs, Parameter> && ...),
                      "reel: a Parameter is derived from Parameters of its own scalar and backend");
        static_assert(std::is_invocable_r_v<Variable<T, B>, const Make&, const AsVariable<Inputs>&...>,
                      "reel: Parameter::derive takes a function of as many Variables as there are inputs, which gives "
                      "a Variable");
        require(!state_->trains, "Parameter::derive: it trains; freeze it first, and train what it is derived from");
        auto derived = std::make_shared<detail::Derivation<T, B>>();
        derived->inputs = {inputs.state_...};
        derived->make = [make = std::move(make), shape = spec_.shape](const std::vector<Variable<T, B>>& all) {
            const Variable<T, B> made = applied(make, all, std::index_sequence_for<Inputs...>{});
            require(made.shape() == shape, "Parameter::derive: ", made.shape(), " made, ", shape, " declared");
            return made;
        };
        state_ = std::make_shared<State>();
        state_->derived = std::move(derived);
    }

    [[nodiscard]] bool is_derived() const { return state_->derived != nullptr; }

    /// Makes a derived parameter an ordinary one, with the value that it has: what a LoRA learned becomes part of the
    /// weight.
    void settle() {
        if (is_derived()) {
            const Tensor<T, B> last = value();
            state_ = std::make_shared<State>();
            assign(last);
        }
    }

    /// Throws Error when the shape is not the declared one. What is to be trained gets memory of its own if `value`
    /// looks at someone else's, such as a mapped file.
    void set(Tensor<T, B> value) {
        require_own();
        state_->exact = nullptr;
        assign(std::move(value));
    }

    /// set() when the value is asked for first, with what `make` gives then: a large model is there at once, and
    /// memory is taken for what is used. Any thread may ask. `make` must give the declared shape.
    void set_later(std::function<Tensor<T, B>()> make) {
        require_own();
        if (state_->trains) {
            set(make());
            return;
        }
        state_->exact = nullptr;
        state_->variable = {};
        state_->later = std::make_shared<LaterValue<T, B>>(std::move(make));
        ++state_->version;
    }

    /// Another form of a value that set_later() told of and that value() has not been asked for, such as a layout of
    /// the backend's: what `pack` makes of it the first time, a pointer, and the same from then on. The value itself is
    /// let go; should it be asked for, unpack() of the form gives it, and it stays, and the form goes. Null where there
    /// is such a value already, or `pack` gives null. Any thread may ask.
    template <class Pack>
    [[nodiscard]] auto in_place_of_value(const Pack& pack) const {
        using Form = decltype(pack(std::declval<const Tensor<T, B>&>()));
        return state_->later ? state_->later->template packed<Form>(pack) : Form{};
    }

    /// True for a value that set_later() told of and that has not been asked for.
    [[nodiscard]] bool waits() const { return state_->later && !state_->later->is_made(); }

    /// True when the value, or the form in its place, has been made.
    [[nodiscard]] bool in_memory() const {
        return state_->later ? state_->later->in_memory() : state_->variable.defined();
    }

    /// Of 16 bits, it starts from exact(), and keeps what it had become when it trains no more.
    /// Throws Error for a derived one that is to train.
    void train(bool on) {
        if (is_derived()) {
            require(!on, "Parameter::train: it is derived from others; train those, or settle() it first");
            return;
        }
        if (state_->later && !on) {
            return; // nothing of it has trained
        }
        const Tensor<compute_t<T>, B> kept = state_->master;
        state_->trains = on;
        if (defined()) {
            assign(value());
        }
        if constexpr (narrow) {
            if (kept.defined()) {
                if (on) {
                    state_->master = kept;
                } else {
                    state_->exact = [kept] { return kept; };
                }
            } else if (on && state_->exact) {
                const Tensor<compute_t<T>, B> unrounded = state_->exact();
                state_->master = unrounded.owns_memory() ? unrounded : unrounded.clone();
            }
        }
    }

    /// What an optimizer changes: the value itself. Of a 16-bit parameter that trains it is a copy in float, where
    /// steps add up that are too small for 16 bits; undefined while it does not train. Micikevicius et al. 2017,
    /// arXiv:1710.03740.
    [[nodiscard]] Tensor<compute_t<T>, B> master() const {
        if constexpr (narrow) {
            return state_->master;
        } else {
            return value();
        }
    }

    /// Gives a 16-bit parameter the value that is this, rounded, and the float copy should it train, now or later; sets
    /// others as set().
    void set_master(Tensor<compute_t<T>, B> master) {
        set(detail::stored_as<T>(master));
        if constexpr (narrow) {
            if (state_->trains) {
                state_->master = master.owns_memory() ? std::move(master) : master.clone();
            } else {
                state_->exact = [master] { return master; };
            }
        }
    }

    /// Tells of a 16-bit parameter with a value how to have that unrounded, such as from the file it came from: so that
    /// it need not be kept for those that never train. Forgotten when it gets another value.
    void set_exact(std::function<Tensor<compute_t<T>, B>()> exact) {
        if constexpr (narrow) {
            state_->exact = std::move(exact);
        }
    }

    /// The value with all the digits there are: of a 16-bit parameter that trains, its float copy; of another, what
    /// set_exact() leads to, or else the value.
    [[nodiscard]] Tensor<compute_t<T>, B> exact() const {
        if constexpr (narrow) {
            return state_->master.defined() ? state_->master
                                            : (state_->exact ? state_->exact() : cast<compute_t<T>>(read()));
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
            if (state_->master.defined()) {
                value().copy_from(cast<T>(state_->master));
            }
        }
    }

    void zero_grad() const {
        if (state_->variable.node()) {
            state_->variable.node()->gradient = {};
        }
    }

    /// The parameter as the kind of value that an input is: a tensor computes, a variable computes and records.
    template <class V>
    [[nodiscard]] decltype(auto) as() const {
        if constexpr (std::same_as<V, Tensor<T, B>>) {
            return value();
        } else {
            static_assert(std::same_as<V, Variable<T, B>>,
                          "reel: a module takes a Tensor or a Variable of its own scalar and backend");
            return state_->recorded();
        }
    }

private:
    using State = detail::ParameterState<T, B>;
    template <class>
    using AsVariable = Variable<T, B>;
    static constexpr bool narrow = !std::same_as<T, compute_t<T>>;

    template <class Make, std::size_t... I>
    [[nodiscard]] static Variable<T, B> applied(const Make& make, const std::vector<Variable<T, B>>& inputs,
                                                std::index_sequence<I...> /*which*/) {
        return make(inputs[I]...);
    }

    /// The value, without keeping it where another form is kept.
    [[nodiscard]] Tensor<T, B> read() const { return state_->later ? state_->later->read() : value(); }

    void require_own() const {
        require(!is_derived(), "Parameter: a value is given to one that is derived from others; settle() it first");
    }

    void assign(Tensor<T, B> value) {
        require(value.shape() == spec_.shape, "Parameter: ", value.shape(), " given, ", spec_.shape, " declared");
        State& state = *state_;
        if (state.trains && !value.owns_memory()) {
            value = value.clone();
        }
        if constexpr (narrow) {
            state.master = state.trains ? cast<compute_t<T>>(value) : Tensor<compute_t<T>, B>{};
        }
        state.later = nullptr;
        state.variable = state.trains ? Variable<T, B>::leaf(std::move(value)) : Variable<T, B>(std::move(value));
        ++state.version;
    }

    ParameterSpec spec_;
    std::shared_ptr<State> state_; ///< never shared by two parameters, but by those derived from this one
};

template <class P>
inline constexpr bool is_parameter = false;
template <Scalar T, Backend B>
inline constexpr bool is_parameter<Parameter<T, B>> = true;

} // namespace reel
