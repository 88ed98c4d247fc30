/* host.c - what plugins may ask of the core: each function checks its arguments, finds the instance's part, and asks it.
 *
 * Threads: as weir_plugin.h says for each function.
 */
#include "host.h"

#include "instance.h"
#include "log.h"
#include "secret.h"
#include "util/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void host_log(struct weir_self *self, int level, const char *format, ...) WEIR_PRINTF(3, 4);
static void host_log(struct weir_self *self, int level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vline(self ? self->name : NULL, level, format, args);
    va_end(args);
}

static int host_fail(struct weir_self *self, int status, const char *format, ...) WEIR_PRINTF(3, 4);
/* Recorded when it comes from the callback that runs; another thread of the plugin has no callback to fail. */
static int host_fail(struct weir_self *self, int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (instance_calling == self)
        vsnprintf(self->reason, sizeof(self->reason), format, args);
    else
        log_vline(self->name, WEIR_WARNING, format, args);
    va_end(args);
    return status;
}

static const char *host_name(struct weir_self *self)
{
    return self->section->title;
}

static int host_wait_fd(struct weir_self *self, int fd, int events, int64_t deadline_ns)
{
    struct pollfd fds[2] = {{.fd = self->event_fd, .events = POLLIN}, {.fd = fd, .events = (short)events}};

    for (;;) {
        int64_t left_ns = deadline_ns - clock_now_ns();
        const struct timespec left = {.tv_sec = left_ns > 0 ? left_ns / CLOCK_SECOND_NS : 0,
                                      .tv_nsec = left_ns > 0 ? left_ns % CLOCK_SECOND_NS : 0};
        int ready = ppoll(fds, fd < 0 ? 1 : 2, &left, NULL);

        if (ready < 0 && errno != EINTR)
            return host_fail(self, WEIR_EFAIL, "could not wait: %s", strerror(errno));
        if (ready > 0 && fds[0].revents)
            return WEIR_EINTR;
        if (ready > 0)
            return fds[1].revents;
        if (left_ns <= 0)
            return WEIR_ETIMEOUT;
    }
}

static int host_secret(struct weir_self *self, const struct weir_secret *secret, char *buffer, size_t size)
{
    char why[256];
    int length = secret_read(secret, buffer, size, why, sizeof(why));

    return length < 0 ? host_fail(self, length, "%s", why) : length;
}

/* The group of this id if it is the instance's own and has not ended. */
static struct series_group *group_of(struct weir_self *self, uint32_t id)
{
    struct series_group *group = series_group_get(self->all->registry, id);

    if (!group || group->source != self->id || atomic_load_explicit(&group->ended, memory_order_relaxed))
        return NULL;
    return group;
}

static int host_group(struct weir_self *self, const struct weir_group *description, uint32_t *id)
{
    struct weir_group group = {0};
    struct series_group *made;
    char why[256];
    int status;

    if (!(self->plugin->roles & WEIR_SOURCE))
        return host_fail(self, WEIR_EINVAL, "plugin \"%s\" is no source: it has no groups", self->plugin->name);
    memcpy(&group, description, description->size < sizeof(group) ? description->size : sizeof(group));
    if (!group.name || !*group.name)
        return host_fail(self, WEIR_EINVAL, "a group needs a name");
    status = series_group_new(self->all->registry, &self->groups, self->id, self->name, &group, &made, why, sizeof(why));
    if (status < 0)
        return host_fail(self, status, "%s", why);
    *id = made->id;
    return schedule_add(&self->schedule, made, self->section->interval_ns, self->section->timeout_ns, clock_now_ns(),
                        clock_wall_ns());
}

static int host_group_end(struct weir_self *self, uint32_t id)
{
    struct series_group *group = group_of(self, id);

    if (!group)
        return host_fail(self, WEIR_EINVAL, "group %u is none of this instance", id);
    atomic_store_explicit(&group->ended, true, memory_order_release);
    self->groups_ending = true;
    schedule_remove(&self->schedule, group);
    return WEIR_OK;
}

static int host_family(struct weir_self *self, const struct weir_family *description, uint32_t *id)
{
    struct weir_family family = {0};
    char why[512];
    int status;

    memcpy(&family, description, description->size < sizeof(family) ? description->size : sizeof(family));
    status = series_family(self->all->registry, &family, id, why, sizeof(why));
    return status < 0 ? host_fail(self, status, "%s", why) : status;
}

static uint64_t series_count(const struct weir_self *self)
{
    uint64_t count = 0;

    for (const struct series_group *group = atomic_load_explicit(&self->groups, memory_order_acquire); group;
         group = atomic_load_explicit(&group->sibling, memory_order_acquire))
        count += atomic_load_explicit(&group->series, memory_order_relaxed);
    return count;
}

static int host_series(struct weir_self *self, uint32_t group_id, const struct weir_label *labels, size_t nlabels,
                       const uint32_t *families, size_t nfamilies, uint32_t *handles)
{
    struct series_group *group = group_of(self, group_id);
    uint64_t count = series_count(self), room = self->section->max_series > count ? self->section->max_series - count : 0;
    char why[512];
    int status;

    if (!group)
        return host_fail(self, WEIR_EINVAL, "group %u is none of this instance", group_id);
    status = series_make(self->all->registry, group, labels, nlabels, self->section->labels, self->section->nlabels,
                         families, nfamilies, room, handles, why, sizeof(why));
    if (status == WEIR_ELIMIT) {
        uint64_t refused = 0;

        for (size_t i = 0; i < nfamilies; i++)
            refused += handles[i] == WEIR_NO_SERIES;
        atomic_fetch_add_explicit(&self->pass.refused[PASS_REFUSED_SERIES], refused, memory_order_relaxed);
        if (!self->limit_told)
            log_line(self->name, WEIR_WARNING, "%s; it and the ones after it are refused and counted", why);
        self->limit_told = true;
    }
    return status < 0 ? host_fail(self, status, "%s", why) : status;
}

static int host_release(struct weir_self *self, const uint32_t *handles, size_t count)
{
    const struct series_cell *cells = series_cells(self->all->registry);
    int status = WEIR_OK;

    for (size_t i = 0; i < count; i++) {
        struct series_group *group = group_of(self, cells[handles[i] & SERIES_INDEX_MAX].group);
        int one = handles[i] == WEIR_NO_SERIES ? WEIR_OK : WEIR_ESTALE;

        if (group && handles[i] != WEIR_NO_SERIES)
            one = series_release(self->all->registry, group, &handles[i], 1);
        if (one < 0)
            status = one;
    }
    return status;
}

static int host_sweep(struct weir_self *self, uint32_t group_id, unsigned passes)
{
    struct series_group *group = group_of(self, group_id);

    if (!group || passes == 0)
        return host_fail(self, WEIR_EINVAL, "cannot sweep group %u over %u passes", group_id, passes);
    return series_sweep(self->all->registry, group, passes);
}

static int host_publish(struct weir_self *self, const struct weir_value *values, size_t count)
{
    return pass_publish(&self->pass, values, count);
}

static int host_series_info(struct weir_self *self, uint32_t handle, struct weir_series_info *info)
{
    return series_info(self->all->registry, handle, info);
}

static int host_current(struct weir_self *self, int (*visit)(void *context, const struct weir_batch *batch),
                        void *context)
{
    return feeds_current(self->all->registry, self->all->sources, self->all->nsources, visit, context);
}

static int host_service_enter(struct weir_self *self, struct weir_binding *binding, const void **table,
                              void **provider)
{
    (void)self;
    return service_enter(binding->port, table, provider);
}

static void host_service_leave(struct weir_self *self, struct weir_binding *binding)
{
    (void)self;
    service_leave(binding->port);
}

const struct weir_host host_table = {
    .size = sizeof(host_table),
    .abi_minor = WEIR_ABI_MINOR,
    .log = host_log,
    .fail = host_fail,
    .name = host_name,
    .now_ns = clock_now_ns,
    .wall_ns = clock_wall_ns,
    .wait_fd = host_wait_fd,
    .secret = host_secret,
    .group = host_group,
    .group_end = host_group_end,
    .family = host_family,
    .series = host_series,
    .release = host_release,
    .sweep = host_sweep,
    .publish = host_publish,
    .series_info = host_series_info,
    .current = host_current,
    .service_enter = host_service_enter,
    .service_leave = host_service_leave,
};
