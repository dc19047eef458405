#pragma once
// What differs between systems. reel is written for POSIX; what Linux, macOS and others have beyond it, or do each in
// their own way, is asked for here and nowhere else. Where a system offers none of the ways known, the answer is that
// of a system without: "unknown", "not done", or a slower way. REEL_PLAIN_POSIX leaves all but POSIX out, so that these
// answers are tested where more is to be had. Needs POSIX; no other library.

#include <reel/core/system/files.hpp>
#include <reel/core/system/machine.hpp>
#include <reel/core/system/memory_use.hpp>
#include <reel/core/system/pages.hpp>
#include <reel/core/system/process.hpp>
