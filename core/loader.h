/* loader.h - finds, checks and loads plugins.
 *
 * A plugin NAME is the file NAME.so in the first folder that has it.  Before dlopen the file and its folder must belong to
 * root or the collector's user and be writable by nobody else, and its ELF header must fit this machine; it is opened by the
 * descriptor that was checked.  Code is never unloaded.
 * The description is copied, smaller size of both sides, options and services normalised to this core's struct sizes.
 * Threads: the main thread's, except loader_owner.
 */
#ifndef WEIR_LOADER_H
#define WEIR_LOADER_H

#include "weir_plugin.h"

struct loader_plugin {
    struct weir_plugin description; /* options and services point into this loader's memory */
    const char *path;
    struct loader_plugin *next;
};

struct loader;

/* folders is borrowed for as long as the loader lives; host is given to every plugin. */
struct loader *loader_new(const char *const *folders, size_t nfolders, const struct weir_host *host);
/* Frees the descriptions; the code stays. */
void loader_free(struct loader *loader);

/* NULL and the reason: not found (folders named), missing symbol, other major, truncated, wrong architecture, writable by
 * others, refused by itself, broken description.  Loads a name once; later calls give the same answer. */
const struct loader_plugin *loader_load(struct loader *loader, const char *name, char *why, size_t why_size);

/* Calls visit for every NAME.so found in the folders, sorted by name, each name once. */
void loader_each(struct loader *loader, void (*visit)(void *context, const char *name), void *context);

/* Name of the plugin whose code holds the address, or NULL.  Async-signal-safe. */
const char *loader_owner(const void *address);

#endif
