#include <reel/pipelines/any/networks_of.hpp>

template std::unique_ptr<reel::Networks<reel::Cpu>> reel::load_networks<float>(reel::Cpu& backend,
                                                                               const PipelineSource& source);
