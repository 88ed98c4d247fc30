/* host.h - the table of functions that plugins call (struct weir_host), in terms of the core's parts. */
#ifndef WEIR_HOST_H
#define WEIR_HOST_H

#include "weir_plugin.h"

extern const struct weir_host host_table;

#endif
