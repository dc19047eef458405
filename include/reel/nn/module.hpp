#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <reel/nn/parameter.hpp>

namespace reel {

namespace detail {

struct MemberVisitorArchetype {
    template <class M>
    void operator()(const char*, M&&) const {}
};

} // namespace detail

/// Something that lists its members by their state-dict names: `members(self, visit)` calls visit("name", self.member)
/// for parameters, modules, vectors and optionals of modules. The members of one whose name is "" stand among its own.
template <class M>
concept Module = requires(M& module, detail::MemberVisitorArchetype visit) {
    std::remove_const_t<M>::members(module, visit);
};

/// Fails to compile, saying what is missing in the error's first line, unless M is a Module.
template <class M>
[[nodiscard]] consteval bool check_module() {
    static_assert(Module<M>, "reel: not a Module: it needs static void members(auto& self, const auto& visit), which "
                             "calls visit(\"name\", self.member) for every parameter and module it holds");
    return Module<M>;
}

namespace detail {

// Called, not repeated in every walk through every kind of module: that was a third of what compilers wrote.
[[nodiscard, gnu::noinline]] inline std::string member_name(const std::string& name, const char* own) {
    return *own == '\0' ? name : (name.empty() ? std::string(own) : name + "." + own);
}
[[nodiscard, gnu::noinline]] inline std::string element_name(const std::string& name, std::size_t i) {
    return name + "." + std::to_string(i);
}

/// Calls on.module(name, module) and on.parameter(name, parameter) for all there is in a member of that name.
template <class M, class On>
void walk(M& member, const std::string& name, const On& on) {
    using Plain = std::remove_const_t<M>;
    if constexpr (is_parameter<Plain>) {
        on.parameter(name, member);
    } else if constexpr (Module<M>) {
        on.module(name, member);
        const auto one = [&](const char* own, auto& next) { walk(next, member_name(name, own), on); };
        Plain::members(member, one);
    } else if constexpr (requires {
                             member.has_value();
                             *member;
                         }) {
        if (member.has_value()) {
            walk(*member, name, on);
        }
    } else {
        static_assert(
            requires { member[member.size()]; }, "reel: not a Module: `members` visits something that is no Parameter, "
                                                 "no Module, and no optional or vector of them");
        for (std::size_t i = 0; i < member.size(); ++i) {
            walk(member[i], element_name(name, i), on);
        }
    }
}

template <class Visit>
struct OnParameters {
    const Visit& visit;
    template <class P>
    void parameter(const std::string& name, P& parameter) const {
        visit(name, parameter);
    }
    template <class M>
    void module(const std::string&, M&) const {}
};

template <class Visit>
struct OnModules {
    const Visit& visit;
    template <class P>
    void parameter(const std::string&, P&) const {}
    template <class M>
    void module(const std::string& name, M& module) const {
        visit(name, module);
    }
};

} // namespace detail

/// Calls visit(name, parameter) for every parameter of a module, in the order of its member lists. Names are those of
/// PyTorch's state dict, behind `prefix`.
template <class M, class Visit>
void for_each_parameter(M& module, const Visit& visit, const std::string& prefix = "") {
    static_assert(check_module<M>());
    const auto named = [&](const std::string& name, auto& parameter) {
        prefix.empty() ? visit(name, parameter) : visit(prefix + name, parameter);
    };
    detail::walk(module, "", detail::OnParameters<decltype(named)>{named});
}

/// Calls visit(name, module) for a module, whose name is "", and every module within it, of whatever type.
template <class M, class Visit>
void for_each_submodule(M& module, const Visit& visit) {
    static_assert(check_module<M>());
    detail::walk(module, "", detail::OnModules<Visit>{visit});
}

/// Calls visit(name, module) for every module of the type `Wanted` in a module, such as every Linear of a UNet. Names
/// are those of PyTorch's state dict: "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q".
template <class Wanted, class M, class Visit>
void for_each_module(M& module, const Visit& visit) {
    for_each_submodule(module, [&](const std::string& name, auto& part) {
        if constexpr (std::same_as<std::remove_const_t<std::remove_reference_t<decltype(part)>>, Wanted>) {
            visit(name, part);
        }
    });
}

/// Number of scalars in all parameters.
template <class M>
[[nodiscard]] index_t parameter_count(const M& module) {
    index_t count = 0;
    for_each_parameter(module,
                       [&](const std::string&, const auto& parameter) { count += parameter.spec().shape.size(); });
    return count;
}

/// True when any parameter of the module is being trained, or comes from one that is.
template <class M>
[[nodiscard]] bool trains(const M& module) {
    bool any = false;
    for_each_parameter(module, [&](const std::string&, const auto& parameter) { any = any || parameter.records(); });
    return any;
}

/// Forgets all gradients.
template <class M>
void zero_grad(const M& module) {
    for_each_parameter(module, [](const std::string&, const auto& parameter) { parameter.zero_grad(); });
}

namespace detail {

/// Whether something of that name lies in a module whose name ends with one of `suffixes`; marks those in `matched`.
[[nodiscard]] inline bool lies_in(const std::string& name, const std::vector<std::string>& suffixes,
                                  std::vector<bool>& matched) {
    bool any = false;
    for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
        const std::string_view owner(name.data(), dot);
        for (std::size_t i = 0; i < suffixes.size(); ++i) {
            if (owner.ends_with(suffixes[i])) {
                matched[i] = true;
                any = true;
            }
        }
    }
    return any;
}

} // namespace detail

/// Trains exactly the parameters that lie in a module whose name ends with one of `suffixes` ("attn1.to_q",
/// "attn_temp"), as the reference does, and freezes the rest. Returns how many scalars train. Throws Error when a
/// suffix matches no module.
template <class M>
index_t set_trainable_modules(M& module, const std::vector<std::string>& suffixes) {
    std::vector<bool> matched(suffixes.size(), false);
    index_t count = 0;
    for_each_parameter(module, [&](const std::string& name, auto& parameter) {
        const bool on = detail::lies_in(name, suffixes, matched);
        parameter.train(on);
        count += on ? parameter.spec().shape.size() : 0;
    });
    for (std::size_t i = 0; i < suffixes.size(); ++i) {
        require(matched[i], "trainable_modules: no module's name ends with \"", suffixes[i],
                "\"; expected endings such as \"attn1.to_q\", \"attn2.to_q\" or \"attn_temp\"");
    }
    return count;
}

} // namespace reel
