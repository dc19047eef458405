#include "backend/cuda_operations.hpp"
