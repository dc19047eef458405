#pragma once
// How the bodies in this folder are defined: inline, or in reel::compiled_video once. No other library.

#ifdef REEL_VIDEO_COMPILED
#define REEL_VIDEO_INLINE
#else
#define REEL_VIDEO_INLINE inline
#endif
