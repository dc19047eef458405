// The whole job in one command: a clip, its prompt and an edited prompt in, an edited clip out. Without a clip: a drawn
// one, edited with the model that comes with reel and compared with what it should have become.

#include "support/insertion.hpp"

namespace {

/// The sampler of the edits: what --scheduler and --scheduler_config ask for. To try one of your own (see
/// custom_sampler.cpp), return it here: `return {"MySampler", MySampler(request.model)};`
editing::Sampler sampler_of(const editing::SamplerRequest& request) {
    return editing::named_sampler(request);
}

} // namespace

int main(int argc, char** argv) {
    return insertion::run(argc, argv, sampler_of);
}
