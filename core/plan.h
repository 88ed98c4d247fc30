/* plan.h - from what runs and a new configuration to what is to be done, and everything that is wrong with it.
 *
 * Planning has no effects but vacant seats: services are tied, the order is found, every plugin's check is asked.  reload.c
 * carries a plan out; `weir check` only makes one.
 * Threads: the main thread's.
 */
#ifndef WEIR_PLAN_H
#define WEIR_PLAN_H

#include "instances.h"

enum plan_action {
    PLAN_KEEP,
    PLAN_RECONFIGURE, /* the object takes the new section */
    PLAN_REPLACE,     /* a new object on the seat of the old one */
    PLAN_ADD          /* a new object on a vacant seat */
};

struct plan_item { /* one instance to be */
    const struct config_section *section;
    struct seat *seat;
    enum plan_action action;
    enum config_difference difference; /* PLAN_RECONFIGURE: what it takes */
    struct config_section before;      /* PLAN_RECONFIGURE: to go back to */
    bool reconfigured;
    struct weir_self *old;    /* all but PLAN_ADD */
    struct weir_self *object; /* PLAN_REPLACE, PLAN_ADD: made, without a thread */
};
struct plan {
    struct instances *all;
    struct generation *generation;
    bool partial;            /* services that nobody offers are not missed */
    struct plan_item *items; /* in service order: providers before users, then sinks before sources */
    size_t count;
};

/* Makes the plan; adds what is wrong to `mistakes` and then returns WEIR_ECONFIG.  WEIR_ENOMEM.  plan_drop in every case. */
int plan_make(struct plan *plan, struct instances *all, struct generation *generation, bool partial,
              struct mistakes *mistakes);
/* Gives the item a new object. */
int plan_object(struct plan *plan, struct plan_item *item);
/* Frees what was not taken over: objects without a thread. */
void plan_drop(struct plan *plan);

#endif
