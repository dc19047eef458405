#include "backend/cuda_unet.hpp"
