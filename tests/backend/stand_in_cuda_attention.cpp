#include "backend/cuda_attention.hpp"
