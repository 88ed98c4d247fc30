/* other_major.c - speaks another major version of the contract. */
#include <stddef.h>

const void *weir_plugin_v2(const void *host);
const void *weir_plugin_v2(const void *host)
{
    (void)host;
    return NULL;
}
