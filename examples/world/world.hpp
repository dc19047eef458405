#pragma once
// A small world, drawn by code: stylised people in rooms who pretend to use an object, or use it. Everything about a
// scene follows from a seed; a clip exists without the object (pretending), with it (the twin), and as the mask of the
// object's visible pixels.

#include "canvas.hpp"
#include "drawing.hpp"
#include "objects.hpp"
#include "person.hpp"
#include "pose.hpp"
#include "room.hpp"
#include "scene.hpp"
#include "words.hpp"
