#include <reel/pipelines/any/networks_of.hpp>

template std::unique_ptr<reel::Networks<reel::Cpu>> reel::load_networks<reel::bfloat16>(reel::Cpu& backend,
                                                                                        const PipelineSource& source);
