#pragma once
// Attention layers and the transformer block that they are part of.

#include <reel/nn/cross_attention.hpp>
#include <reel/nn/feed_forward.hpp>
#include <reel/nn/transformer_block.hpp>
