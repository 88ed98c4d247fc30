/* refuses.c - says that it cannot work here. */
#include <weir_plugin.h>

const struct weir_plugin *weir_plugin_v1(const struct weir_host *host)
{
    host->log(NULL, WEIR_WARNING, "plugin refuses: it never works");
    return NULL;
}
