#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include <reel/autograd/variable.hpp>

namespace reel {

/// A parameter's value that is made when it is asked for first. Copies of a parameter share it, so that it is made
/// once. Any thread may ask.
template <Scalar T, Backend B>
class LaterValue {
public:
    explicit LaterValue(std::function<Tensor<T, B>()> make) : make_(std::move(make)) {}

    [[nodiscard]] bool is_made() const { return is_made_; }

    /// True when the value or a form of it has been made.
    [[nodiscard]] bool in_memory() {
        const std::lock_guard lock(mutex_);
        return is_made_ || form_;
    }

    [[nodiscard]] const Variable<T, B>& made() {
        if (!is_made_) {
            const std::lock_guard lock(mutex_);
            keep();
        }
        return variable_;
    }

    /// The value; one that is packed stays so.
    [[nodiscard]] Tensor<T, B> read() {
        const std::lock_guard lock(mutex_);
        if (form_) {
            return make_();
        }
        keep();
        return variable_.value();
    }

    /// See Parameter::in_place_of_value.
    template <class Form, class Pack>
    [[nodiscard]] Form packed(const Pack& pack) {
        const std::lock_guard lock(mutex_);
        if (!is_made_ && !form_) {
            const Tensor<T, B> value = make_();
            if (const Form form = pack(value)) {
                form_ = form;
                make_ = [form, backend = &value.backend(), shape = value.shape()] {
                    const Tensor<T, B> unpacked(*backend, shape);
                    form->unpack(unpacked.data());
                    return unpacked;
                };
            } else {
                make_ = [value] { return value; };
                keep();
            }
        }
        return std::static_pointer_cast<typename Form::element_type>(form_);
    }

private:
    void keep() {
        if (!is_made_) {
            variable_ = Variable<T, B>(make_());
            make_ = nullptr;
            form_ = nullptr;
            is_made_ = true;
        }
    }

    std::mutex mutex_;
    std::function<Tensor<T, B>()> make_;
    std::shared_ptr<const void> form_; ///< of the one type that the module which has the parameter asks for
    Variable<T, B> variable_;
    std::atomic<bool> is_made_ = false;
};

} // namespace reel
