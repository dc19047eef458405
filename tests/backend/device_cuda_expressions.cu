#include "backend/cuda_expressions.hpp"
