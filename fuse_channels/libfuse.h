// The one place that includes libfuse, so that every file sees the same API version.
#pragma once
#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
