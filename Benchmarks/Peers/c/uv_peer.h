// What the two programs on libuv share.
#pragma once
#include "peer.h"

#include <uv.h>

static inline void check(int code, const char *what) {
    if (code >= 0) return;
    fprintf(stderr, "%s: %s\n", what, uv_strerror(code));
    exit(1);
}
