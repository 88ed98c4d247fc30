/* wrong_size.c - says that its description ends before create. */
#include "small.h"

static const struct weir_plugin plugin = {
    .size = 16, .abi_minor = WEIR_ABI_MINOR, .roles = WEIR_SOURCE, .name = "wrong_size", .version = "1", .summary = "for tests",
};
SMALL_ENTRY(plugin)
