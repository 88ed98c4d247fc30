/* once.h - work in a process of its own, beside a collector that may be running: `weir once`, and offline commands.
 *
 * Only a part of the configuration comes to life, and nothing that takes what a running collector may hold.
 */
#ifndef WEIR_ONCE_H
#define WEIR_ONCE_H

#include "call.h"
#include "config.h"
#include "loader.h"

/* One pass of every group of every source, printed as Prometheus text; takes the config over.  The exit status: 0 if all are good,
 * 1 with each failure named. */
int once_run(struct loader *loader, struct config *config);

/* One offline command of the instance that `target` means; takes the config over.  The exit status. */
int once_command(struct config *config, const char *target, int argc, const char *const *argv);

#endif
