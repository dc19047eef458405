#pragma once
// How LoRA files spell a model's layers. Needs no library.

#include <reel/core/error.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/ldm_layout.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// A weight that adapters can change: of a linear layer or a convolution.
struct LoraTarget {
    LdmPart part = LdmPart::unet;
    std::string module;              ///< the layer's path, as in diffusers and transformers
    std::vector<std::int64_t> shape; ///< as files have the weight: [out, in] or [out, in, height, width]

    /// The parameter's name.
    [[nodiscard]] std::string parameter() const { return module + ".weight"; }
};

namespace detail {

[[nodiscard]] inline std::string with_underscores(std::string path) {
    for (char& c : path) {
        c = c == '.' ? '_' : c;
    }
    return path;
}

/// All spellings of a layer of the text encoder.
[[nodiscard]] inline std::vector<std::string> text_spellings(const std::string& module) {
    constexpr std::string_view root = "text_model."; // which transformers from 5.6 on leaves out
    std::vector<std::string> paths{module};
    if (module.starts_with(root)) {
        paths.push_back(module.substr(root.size()));
    }
    std::vector<std::string> all;
    for (const std::string& path : paths) {
        for (const char* prefix : {"lora_te_", "lora_te1_", "lycoris_"}) {
            all.push_back(prefix + with_underscores(path));
        }
        for (const char* prefix : {"", "text_encoder.", "base_model.model.", "base_model.model.text_encoder."}) {
            all.push_back(prefix + path);
        }
        // Of diffusers before PEFT.
        constexpr std::array<std::pair<std::string_view, const char*>, 4> projections{{{".q_proj", ".to_q_lora"},
                                                                                       {".k_proj", ".to_k_lora"},
                                                                                       {".v_proj", ".to_v_lora"},
                                                                                       {".out_proj", ".to_out_lora"}}};
        for (const auto& [end, old] : projections) {
            if (path.ends_with(end)) {
                const std::string spelled = path.substr(0, path.size() - end.size()) + old;
                all.push_back(spelled);
                all.push_back("text_encoder." + spelled);
            }
        }
    }
    return all;
}

/// All spellings of a layer of the UNet; `ldm` is its path in the latent-diffusion code, or "".
[[nodiscard]] inline std::vector<std::string> unet_spellings(const std::string& module, const std::string& ldm) {
    std::vector<std::string> all;
    for (const std::string& path : {module, ldm}) {
        for (const char* prefix : {"lora_unet_", "lycoris_unet_", "lycoris_"}) {
            if (!path.empty()) {
                all.push_back(prefix + with_underscores(path));
            }
        }
    }
    for (const char* prefix : {"", "unet.", "base_model.model.", "base_model.model.unet."}) {
        all.push_back(prefix + module);
    }
    for (const char* prefix : {"", "diffusion_model.", "model.diffusion_model."}) {
        if (!ldm.empty()) {
            all.push_back(prefix + ldm);
        }
    }
    // Of diffusers before PEFT.
    for (const std::string_view end : {".to_q", ".to_k", ".to_v", ".to_out.0"}) {
        if (module.ends_with(end)) {
            const std::string name(end.substr(0, end.find('.', 1)));
            const std::string spelled = module.substr(0, module.size() - end.size()) + ".processor" + name + "_lora";
            all.push_back(spelled);
            all.push_back("unet." + spelled);
        }
    }
    return all;
}

} // namespace detail

/// Finds a model's layers by whatever spelling a file has. The spellings are made from the model's own names: taking a
/// file's apart cannot be done, since "_" stands for "." and for itself.
class LoraNames {
public:
    /// `targets`: all weights of the model that adapters can change.
    explicit LoraNames(std::vector<LoraTarget> targets) : targets_(std::move(targets)) {
        StateDict unet;
        for (const LoraTarget& target : targets_) {
            if (target.part == LdmPart::unet) {
                unet.emplace(target.parameter(), HostTensor{});
            }
        }
        std::map<std::string, std::string> ldm;
        constexpr std::string_view prefix = "model.diffusion_model.";
        constexpr std::string_view weight = ".weight";
        for (const LdmName& name : ldm_unet_names(ldm_unet_layout(unet))) {
            if (name.ldm.ends_with(weight) && unet.contains(name.diffusers)) {
                ldm[name.diffusers] = name.ldm.substr(prefix.size(), name.ldm.size() - prefix.size() - weight.size());
            }
        }
        for (std::size_t i = 0; i < targets_.size(); ++i) {
            const LoraTarget& target = targets_[i];
            const auto found = ldm.find(target.parameter());
            for (std::string& spelled :
                 target.part == LdmPart::text_encoder
                     ? detail::text_spellings(target.module)
                     : detail::unet_spellings(target.module, found == ldm.end() ? "" : found->second)) {
                const auto [entry, added] = by_spelling_.emplace(std::move(spelled), i);
                if (!added && entry->second != i) {
                    entry->second = ambiguous;
                }
            }
        }
    }

    [[nodiscard]] const std::vector<LoraTarget>& targets() const { return targets_; }

    /// The layer of that spelling, or null where there is none, or more than one.
    [[nodiscard]] const LoraTarget* find(std::string_view spelled) const {
        const auto found = by_spelling_.find(spelled);
        return found == by_spelling_.end() || found->second == ambiguous ? nullptr : &targets_[found->second];
    }

private:
    static constexpr std::size_t ambiguous = static_cast<std::size_t>(-1);

    std::vector<LoraTarget> targets_;
    std::map<std::string, std::size_t, std::less<>> by_spelling_;
};

} // namespace reel
