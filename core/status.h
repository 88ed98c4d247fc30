/* status.h - `weir status`: instances, groups, lanes and sinks, as a table for people.  Any thread; takes the instances' lock. */
#ifndef WEIR_STATUS_H
#define WEIR_STATUS_H

#include "call.h"
#include "instances.h"

int status_print(struct instances *all, struct weir_call *call);

#endif
