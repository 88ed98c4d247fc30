/* daemon.h - `weir run`: from the first configuration to the last signal.
 *
 * The main thread supervises the instances and waits for signals, for clients of the control socket, and for reloads that
 * they ask for.  SIGHUP reloads; SIGTERM and SIGINT end it within five seconds.
 */
#ifndef WEIR_DAEMON_H
#define WEIR_DAEMON_H

#include "config.h"
#include "loader.h"

#include <stdbool.h>

struct daemon_options {
    const char *config;
    struct loader *loader;
    const char *socket;
    bool socket_wanted; /* it was asked for: without it there is no start */
};

/* As config_resolve, for a struct loader. */
const struct weir_plugin *daemon_resolve(void *loader, const char *name, char *why, size_t why_size);

/* The exit status. */
int daemon_run(const struct daemon_options *options);

#endif
