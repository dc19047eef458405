#pragma once

#include "options.hpp"
