// scheduler_config.json, read by the sampler that the first byte chooses, written and read again.

#include "fuzz/fuzz.hpp"

#include <reel/schedulers/config/scheduler_json.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<std::string> names = reel::scheduler_names();
    const fuzz::Choice choice(fuzz::text_of(data, size), static_cast<unsigned>(names.size()));
    fuzz::attempt([&] {
        const nlohmann::json config = reel::parse_scheduler_json(std::string(choice.rest), "fuzz");
        (void)reel::make_scheduler<float, reel::Cpu>(names[choice.which], config, "fuzz");
    });
    return 0;
}
