/* stage.h - the service "stage" of stage.c. */
#ifndef STAGE_H
#define STAGE_H

#include <stdint.h>

#define STAGE_SERVICE "stage"
#define STAGE_VERSION 1u
struct stage {
    uint32_t size, version;
    int64_t (*level)(void *provider); /* any thread, between enter and leave */
};

#endif
