#pragma once
// A small world, drawn by code: stylised people in rooms who pretend to use an object, or use it. Everything about a
// scene follows from a seed; a clip exists without the object (pretending), with it (the twin), and as the mask of the
// object's visible pixels.

#include "world/canvas.hpp"
#include "world/drawing.hpp"
#include "world/objects.hpp"
#include "world/person.hpp"
#include "world/pose.hpp"
#include "world/room.hpp"
#include "world/scene.hpp"
#include "world/words.hpp"
