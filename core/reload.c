/* reload.c - carries out a plan; reload.h says in which order.
 *
 * Read from the bottom.  Each step goes over the plan's items and stops at the first that fails; undo knows from the objects
 * themselves how far each has come.
 */
#include "reload.h"

#include "log.h"
#include "plan.h"
#include "selfstat.h"
#include "util/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_NS CLOCK_SECOND_NS       /* a collect that runs may go on for so long before it is interrupted */
#define CLOSE_NS (10 * CLOCK_SECOND_NS) /* those inside a provider's services may take so long */

struct change { /* one reload */
    struct plan plan;
    struct instances *all;
    const struct reload_options *options;
    struct weir_self **leaving; /* old objects that are replaced or removed, in the old service order */
    size_t nleaving;
    char *why;
    size_t why_size;
};

static int fail(struct change *change, int status, const struct seat *seat, const char *what, const char *reason)
{
    snprintf(change->why, change->why_size, "%s %s%s%s", seat->name, what, *reason ? ": " : "", reason);
    return status;
}

/* One task of one object, to its end. */
static int task(struct change *change, struct weir_self *self, enum instance_task task, int64_t patience_ns, const char *what)
{
    int status;

    instance_give(self, task);
    status = instances_await(self, patience_ns, INSTANCE_STUCK_NS);
    if (status == WEIR_ETIMEOUT)
        return fail(change, status, self->seat, what, "the plugin does not return from it");
    return status < 0 ? fail(change, status, self->seat, what, instance_reason(self, status)) : status;
}

/* What the plan says of an old object; NULL: it is removed. */
static const struct plan_item *item_of(const struct change *change, const struct weir_self *old)
{
    for (size_t i = 0; i < change->plan.count; i++)
        if (change->plan.items[i].old == old)
            return &change->plan.items[i];
    return NULL;
}

/* ---- Reconfiguring ------------------------------------------------------------------------------------------------ */

static int reconfigure(struct change *change, struct weir_self *object, const struct config_section *section)
{
    int64_t patience_ns = object->section.timeout_ns + INSTANCE_START_NS;
    int status;

    object->next_section = section;
    instance_give(object, INSTANCE_RECONFIGURE);
    status = instances_await(object, patience_ns, INSTANCE_STUCK_NS);
    if (status == WEIR_ETIMEOUT) {
        /* What it is in is not ours; what was asked may still be done, with a section that will be gone. */
        instances_abandon(object);
        if (change->plan.generation)
            change->plan.generation->users++;
        return fail(change, WEIR_EFAIL, object->seat, "does not return, and could not take its changed options", "");
    }
    if (status < 0)
        return fail(change, status, object->seat, "could not take its changed options", instance_reason(object, status));
    return status;
}

static int reconfigure_all(struct change *change)
{
    int status = WEIR_OK;

    for (size_t i = 0; i < change->plan.count && status >= 0; i++) {
        struct plan_item *item = &change->plan.items[i];

        if (item->action != PLAN_RECONFIGURE)
            continue;
        status = reconfigure(change, item->old, item->section);
        item->reconfigured = status == WEIR_OK;
        if (status == WEIR_RESTART) {
            item->action = PLAN_REPLACE;
            status = plan_object(&change->plan, item);
        }
    }
    return status < 0 ? status : WEIR_OK;
}

/* ---- Pausing and creating ------------------------------------------------------------------------------------------- */

static int leaving_list(struct change *change)
{
    change->leaving = calloc(change->all->count + 1, sizeof(struct weir_self *));
    if (!change->leaving)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < change->all->count; i++) {
        struct weir_self *old = change->all->objects[i];
        const struct plan_item *item = item_of(change, old);

        if (!item || item->action == PLAN_REPLACE)
            change->leaving[change->nleaving++] = old;
    }
    return WEIR_OK;
}

static void pause_leaving(struct change *change)
{
    for (size_t i = 0; i < change->nleaving; i++)
        if (change->leaving[i]->started)
            instance_give(change->leaving[i], INSTANCE_PAUSE);
    /* One that does not return stays frozen until it is known whether its successor works. */
    for (size_t i = 0; i < change->nleaving; i++)
        if (change->leaving[i]->started)
            (void)instances_await(change->leaving[i], PAUSE_NS, INSTANCE_STUCK_NS);
}

/* Sinks follow all lanes before anything new is published: those that stay, and those that come. */
static int follow(struct change *change)
{
    int status = WEIR_OK;

    for (size_t i = 0; i < change->plan.count && status == WEIR_OK; i++)
        if (change->plan.items[i].seat->plugin->roles & WEIR_SINK)
            status = seat_follow(change->plan.items[i].seat, &change->all->seats);
    return status;
}

static int create_all(struct change *change)
{
    for (size_t i = 0; i < change->plan.count; i++) {
        struct plan_item *item = &change->plan.items[i];
        int status;

        if (!item->object)
            continue;
        item->seat->drafted = true;
        if (instance_thread(item->object) < 0)
            return fail(change, WEIR_EFAIL, item->seat, "could not be given a thread", "");
        status = task(change, item->object, INSTANCE_CREATE, INSTANCE_START_NS, "could not be created");
        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

/* ---- Stopping and starting ------------------------------------------------------------------------------------------ */

static int stop_leaving(struct change *change)
{
    for (size_t i = change->nleaving; i-- > 0;) {
        struct weir_self *old = change->leaving[i];
        int status;

        if (!old->started)
            continue;
        status = seat_close(old->seat, item_of(change, old) != NULL, clock_now_ns() + CLOSE_NS);
        if (status < 0) {
            seat_open(old->seat, old->state);
            return fail(change, status, old->seat, "is in use by others, who do not let go of it", "");
        }
        old->started = false;
        if (instance_is_frozen(old))
            continue;
        status = task(change, old, INSTANCE_STOP, INSTANCE_START_NS, "could not be stopped");
        /* What a plugin says of its stop changes nothing; one that does not return leaves its work to its successor. */
        if (status < 0)
            log_line(NULL, WEIR_WARNING, "%s", change->why);
        if (status == WEIR_ETIMEOUT)
            instances_abandon(old);
    }
    return WEIR_OK;
}

static bool is_held(const struct change *change, const struct plan_item *item)
{
    return change->options->hold && strcmp(change->options->hold, item->seat->name) == 0;
}

static int start_all(struct change *change)
{
    for (size_t i = 0; i < change->plan.count; i++) {
        struct plan_item *item = &change->plan.items[i];
        int status;

        if (!item->object || is_held(change, item))
            continue;
        status = task(change, item->object, INSTANCE_START, INSTANCE_START_NS, "could not start");
        if (status < 0)
            return status;
        item->object->started = true;
        seat_open(item->seat, item->object->state);
    }
    return WEIR_OK;
}

/* ---- Undoing -------------------------------------------------------------------------------------------------------- */

/* Ends an object: its thread, its state, itself.  One that does not return is given up instead, with all that is its own. */
static void end(struct weir_self *self)
{
    if (!self->abandoned && instance_is_frozen(self))
        instances_abandon(self);
    if (!self->abandoned && self->has_thread) {
        instance_give(self, INSTANCE_DESTROY);
        if (instances_await(self, INSTANCE_START_NS, INSTANCE_STUCK_NS) == WEIR_ETIMEOUT)
            instances_abandon(self);
        else
            instance_join(self);
    }
    if (self->abandoned)
        return;
    generation_leave(self->generation);
    instance_free(self);
}

static void undo_objects(struct change *change)
{
    for (size_t i = change->plan.count; i-- > 0;) {
        struct plan_item *item = &change->plan.items[i];
        struct weir_self *object = item->object;
        uint32_t bit;

        if (!object)
            continue;
        bit = object->bit;
        if (object->started) {
            (void)seat_close(item->seat, item->old != NULL, clock_now_ns() + CLOSE_NS);
            if (!item->old)
                seat_shut(item->seat);
            instance_give(object, INSTANCE_STOP);
            (void)instances_await(object, INSTANCE_START_NS, INSTANCE_STUCK_NS);
        }
        object->generation = change->plan.generation; /* for as long as it lives */
        object->generation->users++;
        end(object);
        item->object = NULL;
        seat_abort(item->seat, bit, clock_wall_ns());
        if (!item->old) {
            pthread_mutex_lock(&change->all->lock);
            feeds_close(&item->seat->feeds);
            pthread_mutex_unlock(&change->all->lock);
        }
        item->seat->drafted = false;
    }
}

/* What was stopped is started again, what was paused goes on. */
static void undo_leaving(struct change *change)
{
    for (size_t i = 0; i < change->nleaving; i++) {
        struct weir_self *old = change->leaving[i];

        if (old->abandoned)
            continue;
        if (instance_is_frozen(old)) {
            old->started = true;
            instance_give(old, INSTANCE_RUN);
            instance_thaw(old);
            seat_open(old->seat, old->state);
            continue;
        }
        if (!old->started) {
            instance_give(old, INSTANCE_START);
            old->started = instances_await(old, INSTANCE_START_NS, INSTANCE_STUCK_NS) == WEIR_OK;
            if (!old->started) {
                log_line(old->seat->name, WEIR_ERROR, "could not be started again after the failed reload: %s",
                         instance_reason(old, WEIR_EFAIL));
                seat_shut(old->seat);
                continue;
            }
            seat_open(old->seat, old->state);
        }
        instance_give(old, INSTANCE_RUN);
        (void)instances_await(old, INSTANCE_START_NS, INSTANCE_STUCK_NS);
    }
}

static void undo_reconfigured(struct change *change)
{
    char why[RELOAD_REASON_MAX];
    struct change quiet = {.why = why, .why_size = sizeof(why)};

    for (size_t i = 0; i < change->plan.count; i++) {
        const struct plan_item *item = &change->plan.items[i];

        if (item->reconfigured && !item->old->abandoned && reconfigure(&quiet, item->old, &item->before) != WEIR_OK)
            log_line(NULL, WEIR_ERROR, "after the failed reload: %s", why);
    }
}

/* ---- The end of a reload that worked ---------------------------------------------------------------------------------- */

/* Kept users leave again what they had left with a provider that was replaced. */
static void rebind(struct change *change)
{
    for (size_t i = 0; i < change->plan.count; i++) {
        struct weir_self *user = change->plan.items[i].old;

        if (change->plan.items[i].object || !user)
            continue;
        for (size_t b = 0; b < user->section.nbindings; b++) {
            bool replaced = false;
            int status;

            for (size_t k = 0; k < change->plan.count; k++) {
                const struct plan_item *item = &change->plan.items[k];

                replaced |= item->object && seat_offers(item->seat, user->section.bindings[b]->port);
            }
            if (!replaced)
                continue;
            user->changed = user->section.bindings[b];
            status = task(change, user, INSTANCE_REBIND, user->section.timeout_ns + INSTANCE_START_NS,
                          "could not go over to the new provider");
            if (status < 0)
                log_line(NULL, WEIR_WARNING, "%s", change->why);
            if (status == WEIR_ETIMEOUT)
                instance_thaw(user);
        }
    }
}

/* What never returned from the work of its old object is not waited for any longer: the successor goes on where it began. */
static void give_up_frozen(struct change *change)
{
    for (size_t i = 0; i < change->nleaving; i++) {
        struct weir_self *old = change->leaving[i];

        if (old->abandoned || !instance_is_frozen(old))
            continue;
        instances_abandon(old);
        feeds_again(&old->seat->feeds);
    }
}

static void retire(struct change *change)
{
    for (size_t i = 0; i < change->nleaving; i++) {
        struct weir_self *old = change->leaving[i];
        struct seat *seat = old->seat;
        bool removed = !item_of(change, old);

        end(old);
        if (!removed)
            continue;
        seat_shut(seat);
        pthread_mutex_lock(&change->all->lock);
        seat_vacate(seat, clock_wall_ns());
        pthread_mutex_unlock(&change->all->lock);
    }
}

/* The new set, in service order, each object with its generation. */
static void take_over(struct change *change, struct weir_self **objects)
{
    struct instances *all = change->all;
    struct weir_self **before;

    for (size_t i = 0; i < change->plan.count; i++) {
        struct plan_item *item = &change->plan.items[i];
        struct weir_self *self = item->object ? item->object : item->old;

        objects[i] = self;
        if (!item->object && item->difference != CONFIG_RELOADABLE)
            continue;
        generation_leave(self->generation);
        self->generation = change->plan.generation;
        self->generation->users++;
    }
    pthread_mutex_lock(&all->lock);
    before = all->objects;
    all->objects = objects;
    all->count = change->plan.count;
    pthread_mutex_unlock(&all->lock);
    free(before);
    generation_leave(all->generation);
    all->generation = change->plan.generation;
}

static void run_all(struct change *change)
{
    for (size_t i = 0; i < change->plan.count; i++) {
        struct plan_item *item = &change->plan.items[i];

        if (!item->object)
            continue;
        seat_adopt(item->seat, item->object->bit, clock_wall_ns());
        item->seat->drafted = false;
        atomic_store_explicit(&item->object->draft, false, memory_order_release);
        instance_give(item->object, is_held(change, item) ? INSTANCE_PAUSE : change->options->then);
    }
    for (size_t i = 0; i < change->plan.count; i++)
        if (change->plan.items[i].object)
            (void)instances_await(change->plan.items[i].object, INSTANCE_START_NS, INSTANCE_STUCK_NS);
}

static void limits_apply(struct instances *all, const struct config *config)
{
    series_registry_limit(all->seats.registry, (uint32_t)(config->max_series < UINT32_MAX ? config->max_series : UINT32_MAX));
    for (struct seat *seat = atomic_load(&all->seats.first); seat; seat = atomic_load(&seat->next))
        if (seat->plugin->roles & WEIR_SOURCE)
            ring_lane_limit(&seat->pass.lane, config->lane_max_bytes / sizeof(struct weir_sample));
    log_level_set((int)config->log_level);
}

/* ---- All of it -------------------------------------------------------------------------------------------------------- */

static int apply(struct change *change)
{
    int status = leaving_list(change);

    if (status == WEIR_OK)
        status = follow(change);
    if (status == WEIR_OK) {
        pause_leaving(change);
        status = create_all(change);
    }
    if (status == WEIR_OK)
        status = stop_leaving(change);
    if (status == WEIR_OK)
        status = start_all(change);
    return status;
}

int reload_apply(struct instances *all, struct config *config, const struct reload_options *options,
                 struct mistakes *mistakes, char *why, size_t why_size)
{
    struct generation *generation = generation_new(config, selfstat_section(config));
    struct change change = {.all = all, .options = options, .why = why, .why_size = why_size};
    struct weir_self **objects = NULL;
    int status;

    (void)instances_reap(all);
    snprintf(why, why_size, "no memory");
    if (!generation)
        return WEIR_ENOMEM;
    status = plan_make(&change.plan, all, generation, options->partial, mistakes);
    if (status < 0)
        goto out;
    objects = calloc(change.plan.count, sizeof(struct weir_self *));
    status = objects ? reconfigure_all(&change) : WEIR_ENOMEM;
    if (status == WEIR_OK) {
        if (!all->generation) /* before anything is made under them */
            limits_apply(all, config);
        status = apply(&change);
        if (status < 0) {
            undo_objects(&change);
            undo_leaving(&change);
        }
    }
    if (status < 0) {
        undo_reconfigured(&change);
        goto out;
    }
    limits_apply(all, config);
    give_up_frozen(&change);
    take_over(&change, objects);
    objects = NULL;
    run_all(&change);
    rebind(&change);
    retire(&change);
    for (size_t i = 0; i < change.plan.count; i++)
        change.plan.items[i].object = NULL; /* the set's */
    generation = NULL;
out:
    plan_drop(&change.plan);
    free(change.leaving);
    free(objects);
    generation_leave(generation);
    return status;
}

int reload_check(struct instances *all, struct config *config, struct mistakes *mistakes)
{
    struct generation *generation = generation_new(config, selfstat_section(config));
    struct plan plan;
    int status;

    if (!generation)
        return WEIR_ENOMEM;
    status = plan_make(&plan, all, generation, false, mistakes);
    plan_drop(&plan);
    generation_leave(generation);
    return status;
}
