// What the broker keeps of root.
#pragma once
#include "base/error.h"

namespace zvm::loader {

// Drops every capability but the ones listed in the .cc, each with its reason, from every set;
// forbids gains (no_new_privs). kDenied: one of them is not there to begin with; the error names
// it.
Status keep_few_capabilities();

}  // namespace zvm::loader
