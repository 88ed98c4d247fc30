/* host.c - what plugins may ask of the core: each function checks its arguments, finds the instance's part, and asks it.
 *
 * Threads: as weir_plugin.h says for each function.
 */
#include "host.h"

#include "call.h"
#include "instances.h"
#include "log.h"
#include "secret.h"
#include "util/clock.h"
#include "util/poll.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void host_log(struct weir_self *self, int level, const char *format, ...) WEIR_PRINTF(3, 4);
static void host_log(struct weir_self *self, int level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vline(self ? self->seat->name : NULL, level, format, args);
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
        log_vline(self->seat->name, WEIR_WARNING, format, args);
    va_end(args);
    return status;
}

static const char *host_name(struct weir_self *self)
{
    return self->seat->title;
}

static int host_wait_fd(struct weir_self *self, int fd, int events, int64_t deadline_ns)
{
    struct pollfd fds[2] = {{.fd = self->event_fd, .events = POLLIN}, {.fd = fd, .events = (short)events}};
    const nfds_t n = fd < 0 ? 1 : 2;
    int64_t news_ns = instance_calling == self ? instance_news_until(self) : INT64_MAX;
    int ready = poll_until(fds, n, news_ns < deadline_ns ? news_ns : deadline_ns);

    if (ready == 0 && news_ns < deadline_ns) {
        instance_tell_news(self);
        ready = poll_until(fds, n, deadline_ns);
    }
    if (ready < 0)
        return host_fail(self, WEIR_EFAIL, "could not wait: %s", strerror(errno));
    if (ready == 0)
        return WEIR_ETIMEOUT;
    return fds[0].revents ? WEIR_EINTR : fds[1].revents;
}

static int host_secret(struct weir_self *self, const struct weir_secret *secret, char *buffer, size_t size)
{
    char why[256];
    int length = secret_read(secret, buffer, size, why, sizeof(why));

    return length < 0 ? host_fail(self, length, "%s", why) : length;
}

/* ---- What an object has of its seat: none of it for one that was abandoned ---------------------------------------------- */

/* The group of this id if it is the object's own and has not ended. */
static struct series_group *group_of(struct weir_self *self, uint32_t id)
{
    struct series_group *group = series_group_get(self->seat->registry, id);

    if (!group || group->source != self->seat->id ||
        !(atomic_load_explicit(&group->holders, memory_order_relaxed) & self->bit))
        return NULL;
    return group;
}

static bool is_draft(const struct weir_self *self)
{
    return atomic_load_explicit(&self->draft, memory_order_relaxed);
}

static int group_make(struct weir_self *self, const struct weir_group *group, uint32_t *id)
{
    struct seat *seat = self->seat;
    struct series_group *made;
    char why[256];
    int status = series_group_new(seat->registry, &seat->groups, seat->id, seat->name, group->name,
                                  group->kind && *group->kind ? group->kind : group->name, self->bit, &made, why, sizeof(why));

    if (status < 0)
        return host_fail(self, status, "%s", why);
    *id = made->id;
    return schedule_add(&self->schedule, made, group, self->section.interval_ns, self->section.timeout_ns, clock_now_ns(),
                        clock_wall_ns());
}

static int host_group(struct weir_self *self, const struct weir_group *description, uint32_t *id)
{
    struct weir_group group = {0};
    int status;

    if (!(self->plugin->roles & WEIR_SOURCE))
        return host_fail(self, WEIR_EINVAL, "plugin \"%s\" is no source: it has no groups", self->plugin->name);
    memcpy(&group, description, description->size < sizeof(group) ? description->size : sizeof(group));
    if (!group.name || !*group.name)
        return host_fail(self, WEIR_EINVAL, "a group needs a name");
    if ((status = instance_enter(self)) < 0)
        return status;
    status = group_make(self, &group, id);
    instance_leave(self);
    return status;
}

static int host_group_end(struct weir_self *self, uint32_t id)
{
    struct series_group *group;
    int status;

    if ((status = instance_enter(self)) < 0)
        return status;
    group = group_of(self, id);
    if (group) {
        atomic_fetch_and_explicit(&group->holders, ~self->bit, memory_order_acq_rel);
        self->groups_ending |= !is_draft(self);
        schedule_remove(&self->schedule, group);
    }
    instance_leave(self);
    return group ? WEIR_OK : host_fail(self, WEIR_EINVAL, "group %u is none of this instance", id);
}

static int host_family(struct weir_self *self, const struct weir_family *description, uint32_t *id)
{
    struct weir_family family = {0};
    char why[512];
    int status;

    memcpy(&family, description, description->size < sizeof(family) ? description->size : sizeof(family));
    status = series_family(self->seat->registry, &family, id, why, sizeof(why));
    return status < 0 ? host_fail(self, status, "%s", why) : status;
}

/* Series that the instance has, without those that end with the next pass. */
static uint64_t series_count(const struct series_groups *groups)
{
    uint64_t all = atomic_load_explicit(&groups->series, memory_order_relaxed);
    uint64_t ending = atomic_load_explicit(&groups->ending, memory_order_relaxed);

    return all > ending ? all - ending : 0;
}

static int series_get(struct weir_self *self, struct series_group *group, const struct weir_label *labels, size_t nlabels,
                      const uint32_t *families, size_t nfamilies, uint32_t *handles)
{
    const struct config_section *section = &self->section;
    uint64_t count = series_count(&self->seat->groups);
    const struct series_request request = {.extra = section->labels, .nextra = section->nlabels, .draft = is_draft(self),
                                           .room = section->max_series > count ? section->max_series - count : 0};
    char why[512];
    int status = series_make(self->seat->registry, group, labels, nlabels, families, nfamilies, &request, handles, why,
                             sizeof(why));

    if (status == WEIR_ELIMIT) {
        uint64_t refused = 0;

        for (size_t i = 0; i < nfamilies; i++)
            refused += handles[i] == WEIR_NO_SERIES;
        atomic_fetch_add_explicit(&self->seat->pass.refused[PASS_REFUSED_SERIES], refused, memory_order_relaxed);
        if (!self->limit_told)
            log_line(self->seat->name, WEIR_WARNING, "%s; it and the ones after it are refused and counted", why);
        self->limit_told = true;
    }
    return status < 0 ? host_fail(self, status, "%s", why) : status;
}

static int host_series(struct weir_self *self, uint32_t group_id, const struct weir_label *labels, size_t nlabels,
                       const uint32_t *families, size_t nfamilies, uint32_t *handles)
{
    struct series_group *group;
    int status;

    if ((status = instance_enter(self)) < 0)
        return status;
    group = group_of(self, group_id);
    status = group ? series_get(self, group, labels, nlabels, families, nfamilies, handles)
                   : host_fail(self, WEIR_EINVAL, "group %u is none of this instance", group_id);
    instance_leave(self);
    return status;
}

static int release(struct weir_self *self, uint32_t handle)
{
    const struct series_cell *cells = series_cells(self->seat->registry);
    struct series_group *group = group_of(self, cells[handle & SERIES_INDEX_MAX].group);

    if (handle == WEIR_NO_SERIES)
        return WEIR_OK;
    return group ? series_release(self->seat->registry, group, &handle, 1, is_draft(self)) : WEIR_ESTALE;
}

static int host_release(struct weir_self *self, const uint32_t *handles, size_t count)
{
    int status;

    if ((status = instance_enter(self)) < 0)
        return status;
    for (size_t i = 0; i < count; i++) {
        int one = release(self, handles[i]);

        if (one < 0)
            status = one;
    }
    instance_leave(self);
    return status;
}

static int host_sweep(struct weir_self *self, uint32_t group_id, unsigned passes)
{
    struct series_group *group;
    int status;

    if ((status = instance_enter(self)) < 0)
        return status;
    group = passes && !is_draft(self) ? group_of(self, group_id) : NULL;
    status = group ? series_sweep(self->seat->registry, group, passes)
                   : host_fail(self, WEIR_EINVAL, "cannot sweep group %u over %u passes", group_id, passes);
    instance_leave(self);
    return status;
}

/* Begins to publish; of an object that may not, the values are counted as refused. */
static int publish_enter(struct weir_self *self, size_t count)
{
    int status = instance_enter(self);

    if (status == WEIR_EINVAL)
        atomic_fetch_add_explicit(&self->seat->pass.refused[PASS_REFUSED_CLOSED], count, memory_order_relaxed);
    return status;
}

static int host_publish(struct weir_self *self, const struct weir_value *values, size_t count)
{
    int status;

    if ((status = publish_enter(self, count)) < 0)
        return status;
    status = pass_publish(&self->seat->pass, values, count);
    instance_leave(self);
    return status;
}

static int host_publish_exemplars(struct weir_self *self, const struct weir_value *value, const struct weir_exemplar *exemplars,
                                  size_t count)
{
    int status;

    if ((status = publish_enter(self, 1)) < 0)
        return status;
    status = pass_publish_exemplars(&self->seat->pass, value, exemplars, count);
    instance_leave(self);
    return status;
}

static int host_due(struct weir_self *self, uint32_t *groups, size_t room)
{
    int status;

    if ((status = instance_enter(self)) < 0)
        return status;
    status = self->call_group ? instance_due(self, groups, room)
                              : host_fail(self, WEIR_EINVAL, "groups are due inside collect only");
    instance_leave(self);
    return status;
}

static int host_next_pass(struct weir_self *self, int status, uint32_t group_id, struct weir_pass *pass)
{
    struct weir_pass next;
    int entered;

    if ((entered = instance_enter(self)) < 0)
        return entered;
    status = self->call_group ? instance_next_pass(self, status, group_id, &next)
                              : host_fail(self, WEIR_EINVAL, "a pass has a next one inside collect only");
    instance_leave(self);
    if (status < 0)
        return status;
    next.size = pass->size < sizeof(next) ? pass->size : (uint32_t)sizeof(next);
    memcpy(pass, &next, next.size);
    return WEIR_OK;
}

static int host_series_info(struct weir_self *self, uint32_t handle, struct weir_series_info *info)
{
    return series_info(self->seat->registry, handle, info);
}

static int host_exemplar_labels(struct weir_self *self, uint32_t id, const struct weir_label **labels, size_t *nlabels)
{
    return series_exemplar_labels_get(self->seat->registry, id, labels, nlabels);
}

static int host_current(struct weir_self *self, int (*visit)(void *context, const struct weir_batch *batch),
                        void *context)
{
    return feeds_current(self->seat->registry, &self->all->seats.sources, visit, context);
}

static int host_service_enter(struct weir_self *self, struct weir_binding *binding, const void **table,
                              void **provider)
{
    (void)self;
    if (!binding->port) /* only a part of the configuration runs */
        return WEIR_EAGAIN;
    return service_enter(binding->port, clock_now_ns() + CLOCK_SECOND_NS, table, provider);
}

static void host_service_leave(struct weir_self *self, struct weir_binding *binding)
{
    (void)self;
    service_leave(binding->port);
}

static int host_listen(struct weir_self *self, const char *host, const char *port, int *fd)
{
    char why[512];
    int status = seat_listen(self->seat, self->bit, host, port, fd, why, sizeof(why));

    return status < 0 ? host_fail(self, status, "%s", why) : status;
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
    .publish_exemplars = host_publish_exemplars,
    .due = host_due,
    .next_pass = host_next_pass,
    .series_info = host_series_info,
    .exemplar_labels = host_exemplar_labels,
    .current = host_current,
    .service_enter = host_service_enter,
    .service_leave = host_service_leave,
    .listen = host_listen,
    .print = call_print,
    .call_wait = call_wait,
};
