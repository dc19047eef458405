#pragma once
// LoRA files as programs take them.

#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

#include <reel/core/options.hpp>
#include <reel/io/lora/lora_use.hpp>

namespace reel {

/// Which LoRA files to merge into the model.
struct LoraOptions {
    std::vector<std::string> lora{};
    bool lora_partial = false;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"lora", "LoRA to merge into the model, FILE or FILE:SCALE; may be given more than once"},
              self.lora);
        visit(Option{"lora_partial", "leave out what a LoRA has for layers that the model has not"}, self.lora_partial);
    }

    /// Throws Error for a scale that is not finite.
    [[nodiscard]] LoraChoice choice() const {
        LoraChoice chosen{{}, lora_partial};
        for (const std::string& text : lora) {
            chosen.uses.push_back(lora_use(text, "--lora " + text));
        }
        return chosen;
    }
};

/// Says what was merged: on stdout what was used of each file, on stderr what was not.
inline void tell_loras(const std::vector<LoraReport>& reports) {
    for (const LoraReport& report : reports) {
        std::cout << report.text() << '\n';
        if (const std::size_t unused = report.unused.size(); unused > 0) {
            std::cerr << "warning: " << report.use.file.string() << ": " << unused << " of " << report.tensors
                      << " tensors are of no layer of this model and are left out, such as \"" << report.unused.front()
                      << "\"\n";
        }
    }
    std::cout.flush();
}

} // namespace reel
