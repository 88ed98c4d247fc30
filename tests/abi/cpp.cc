// cpp.cc - a plugin in C++20, whose designated initializers let it be written as in C.
#include <weir_plugin.h>

namespace
{
const weir_host *host;

int create(weir_self *self, const void *, void **state)
{
    *state = self;
    return WEIR_OK;
}

int collect(void *state, const weir_pass *)
{
    return host->fail(static_cast<weir_self *>(state), WEIR_EFAIL, "nothing to collect");
}

const weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SOURCE,
    .name = "cpp",
    .version = "1",
    .summary = "for tests",
    .create = create,
    .collect = collect,
};
} // namespace

const weir_plugin *weir_plugin_v1(const weir_host *table)
{
    host = table;
    return &plugin;
}
