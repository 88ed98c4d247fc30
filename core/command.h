/* command.h - commands of plugins: finding the one that is meant, and running it.
 *
 * `weir PLUGIN COMMAND ...` means the plugin's only instance, `weir PLUGIN/TITLE COMMAND ...` the one of that title.
 */
#ifndef WEIR_COMMAND_H
#define WEIR_COMMAND_H

#include "call.h"
#include "instances.h"

/* The plugin's command of this name, or NULL and why (its commands are named). */
const struct weir_command *command_find(const struct weir_plugin *plugin, const char *name, char *why, size_t why_size);
/* The name of the instance that TARGET ("pool", "pool/orders") means among those of a configuration, or NULL and why. */
const char *command_instance(const struct config *config, const char *target, char *why, size_t why_size);

/* In the collector, any thread: runs argv[1] of the instance argv[0]; its exit status, failures told through the call. */
int command_live(struct instances *all, struct weir_call *call, int argc, const char *const *argv);
/* Runs a command on a state; the exit status. */
int command_run(const struct weir_command *command, void *state, struct weir_call *call, int argc, const char *const *argv);

#endif
