/* reload.h - from one configuration to the next, without a gap in what did not change; starting is a reload from nothing.
 *
 * In this order: everything is checked; reloadable changes go to their objects; changed objects pause and their successors are
 * created; what leaves is stopped, users before providers; what is new is started, providers before users; then all of it
 * runs.  A failure at any step undoes the steps before it, and what ran runs on.
 * Threads: the main thread's.
 */
#ifndef WEIR_RELOAD_H
#define WEIR_RELOAD_H

#include "instances.h"

#define RELOAD_REASON_MAX 1024u

struct reload_options {
    enum instance_task then; /* what new objects do at the end: INSTANCE_RUN, or INSTANCE_PAUSE */
    bool partial;            /* a part of a configuration: services that nobody offers are not missed */
    const char *hold;        /* name of an instance that is created, and not started; or NULL */
};

/* Takes the config over.  WEIR_OK; WEIR_ECONFIG with mistakes; or another status and why, and everything is as it was. */
int reload_apply(struct instances *all, struct config *config, const struct reload_options *options,
                 struct mistakes *mistakes, char *why, size_t why_size);

/* The same without effects: 0, or WEIR_ECONFIG with mistakes. */
int reload_check(struct instances *all, struct config *config, struct mistakes *mistakes);

#endif
