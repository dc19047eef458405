#pragma once // Needs reel::text and reel::io.
// A pipeline on a backend, of whatever scalar type the source asks for. Its networks are compiled elsewhere
// (load_networks<T>(), one file for each scalar type).

#include <memory>
#include <utility>

#include <reel/pipelines/any/pipeline_on.hpp>

namespace reel {

/// The source's model on a backend, which must outlive it, as must the host's Cpu.
template <Backend B>
[[nodiscard]] std::unique_ptr<AnyPipeline> load_pipeline(B& backend, const PipelineHost& host,
                                                         const PipelineSource& source) {
    std::unique_ptr<Networks<B>> networks;
    switch (source.mixed_precision) {
    case MixedPrecision::no:
        networks = load_networks<float>(backend, source);
        break;
    case MixedPrecision::bf16:
        networks = load_networks<bfloat16>(backend, source);
        break;
    case MixedPrecision::fp16:
        networks = load_networks<half>(backend, source);
        break;
    }
    auto pipeline = std::make_unique<PipelineOn<B>>(host, std::move(networks));
    pipeline->watch.allow_nonfinite = source.allow_nonfinite;
    return pipeline;
}

/// The name under which a backend's module has its OpenModule.
inline constexpr const char* open_module_name = "reel_open_pipelines";

/// Makes a module's backend, which the caller deletes. Throws Error where the machine has none.
using OpenModule = PipelineBackend*(const PipelineHost& host);

} // namespace reel
