#include "backend/cuda_narrow.hpp"
