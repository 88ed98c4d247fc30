/* instances.c - all instances: supervising and stopping them. */
#include "instances.h"

#include "log.h"
#include "util/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define SUPERVISE_NS CLOCK_SECOND_NS
#define AWAIT_NS (CLOCK_SECOND_NS / 20)
#define HURRY_NS CLOCK_SECOND_NS /* for a callback that was interrupted because all is to end */

struct generation *generation_new(struct config *config, struct config_section own)
{
    struct generation *generation = calloc(1, sizeof(*generation));

    if (!generation) {
        config_free(config);
        return NULL;
    }
    generation->config = config;
    generation->self_section = own;
    generation->users = 1;
    return generation;
}

void generation_leave(struct generation *generation)
{
    if (!generation || --generation->users)
        return;
    config_free(generation->config);
    free(generation);
}

const char *instances_words(const struct config_section *section, char *buffer, size_t size)
{
    if (section->plugin->flags & WEIR_SINGLE)
        snprintf(buffer, size, "%s", section->plugin_name);
    else
        snprintf(buffer, size, "%s \"%s\"", section->plugin_name, section->title);
    return buffer;
}

struct instances *instances_new(void)
{
    struct instances *all = calloc(1, sizeof(*all));

    if (!all)
        return NULL;
    pthread_mutex_init(&all->lock, NULL);
    all->seats.registry = series_registry_new(UINT32_MAX);
    if (all->seats.registry)
        return all;
    instances_free(all);
    return NULL;
}

void instances_free(struct instances *all)
{
    if (!all)
        return;
    for (size_t i = 0; i < all->count; i++) {
        generation_leave(all->objects[i]->generation);
        instance_free(all->objects[i]);
    }
    free(all->objects);
    generation_leave(all->generation);
    seats_free(&all->seats);
    series_registry_free(all->seats.registry);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

struct weir_self *instances_find(const struct instances *all, const struct seat *seat)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->objects[i]->seat == seat)
            return all->objects[i];
    return NULL;
}

int64_t instances_supervise(struct instances *all)
{
    int64_t now_ns = clock_now_ns(), next_ns = now_ns + SUPERVISE_NS;

    for (size_t i = 0; i < all->count; i++)
        if (all->objects[i]->has_thread)
            instance_supervise(all->objects[i], now_ns, &next_ns);
    for (struct seat *seat = atomic_load_explicit(&all->seats.first, memory_order_acquire); seat;
         seat = atomic_load_explicit(&seat->next, memory_order_acquire))
        if (!atomic_load_explicit(&seat->holder, memory_order_relaxed) && !seat->drafted && !instances_find(all, seat))
            seat_settle(seat);
    return next_ns;
}

/* SIGTERM or SIGINT waits for whoever reads signals: nobody has patience any more. */
static bool is_ending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT));
}

int instances_await(struct weir_self *self, int64_t patience_ns, int64_t grace_ns)
{
    int64_t interrupt_ns = clock_now_ns() + patience_ns, freeze_ns = interrupt_ns + grace_ns;
    int status;

    for (bool hurried = false;;) {
        int64_t now_ns = clock_now_ns(), until_ns = instances_supervise(self->all);

        if (instance_done(self, until_ns < now_ns + AWAIT_NS ? until_ns : now_ns + AWAIT_NS, &status))
            return status;
        if (self->all->waiting)
            self->all->waiting(self->all->waiting_context);
        if (!hurried && is_ending()) {
            hurried = true;
            interrupt_ns = clock_now_ns();
            freeze_ns = freeze_ns < interrupt_ns + HURRY_NS ? freeze_ns : interrupt_ns + HURRY_NS;
        }
        if (clock_now_ns() >= interrupt_ns)
            instance_interrupt(self);
        if (clock_now_ns() >= freeze_ns && instance_freeze(self))
            return WEIR_ETIMEOUT;
    }
}

void instances_abandon(struct weir_self *self)
{
    instance_abandon(self);
    self->next_abandoned = self->all->abandoned;
    self->all->abandoned = self;
}

bool instances_reap(struct instances *all)
{
    for (struct weir_self **link = &all->abandoned; *link;) {
        struct weir_self *self = *link;

        if (!atomic_load_explicit(&self->finished, memory_order_acquire) || instances_find(all, self->seat) == self) {
            link = &self->next_abandoned;
            continue;
        }
        *link = self->next_abandoned;
        pthread_join(self->thread, NULL);
        generation_leave(self->generation);
        instance_free(self);
    }
    return all->abandoned == NULL;
}

/* Waits for the present task, half of the time that is left: one that hangs must not cost the others theirs. */
static bool await_half(struct weir_self *self, int64_t deadline_ns)
{
    int64_t left_ns = deadline_ns - clock_now_ns();

    if (instances_await(self, left_ns / 4, left_ns / 4) != WEIR_ETIMEOUT)
        return true;
    instances_abandon(self);
    return false;
}

bool instances_stop(struct instances *all, int64_t deadline_ns)
{
    bool clean = true;

    for (size_t i = 0; i < all->count; i++)
        if (all->objects[i]->started)
            instance_give(all->objects[i], INSTANCE_DRAIN);
    for (size_t i = 0; i < all->count; i++)
        if (all->objects[i]->has_thread)
            instance_interrupt_collect(all->objects[i]);
    for (size_t i = 0; i < all->count; i++)
        if (all->objects[i]->started)
            clean &= await_half(all->objects[i], deadline_ns);
    for (enum instance_task task = INSTANCE_STOP; task <= INSTANCE_DESTROY; task++) {
        for (size_t i = all->count; i-- > 0;) {
            struct weir_self *self = all->objects[i];

            if (!self->has_thread || (task == INSTANCE_STOP && !self->started))
                continue;
            /* Users have stopped; who is inside all the same is a command or a request. */
            if (task == INSTANCE_STOP &&
                seat_close(self->seat, false, clock_now_ns() + (deadline_ns - clock_now_ns()) / 4) < 0) {
                log_line(self->seat->name, WEIR_ERROR, "is still in use and cannot be stopped");
                self->has_thread = clean = false;
                continue;
            }
            instance_give(self, task);
            clean &= await_half(self, deadline_ns);
        }
    }
    for (size_t i = 0; i < all->count; i++)
        if (all->objects[i]->has_thread)
            instance_join(all->objects[i]);
    return instances_reap(all) && clean;
}
