/* check_reload.c - reloads of a whole core with plugins of its own: what goes on, what is replaced, what is undone.
 *
 * Three plugins in this program: `part` (a source that fails or hangs where its options say), `well` (a provider) with `user`
 * (a source that is inside it most of the time), and `witness` (a sink that believes nothing).
 */
#include "host.h"
#include "log.h"
#include "reload.h"
#include "util/clock.h"
#include "util/strbuf.h"

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RANDOM_RELOADS 150u
#define RACING_RELOADS 100u
#else
#define RANDOM_RELOADS 1000u
#define RACING_RELOADS 500u
#endif
#define TITLES 8u
#define ALIVE 0x600d600du

static const struct weir_host *const host = &host_table;

/* ---- part: a source ------------------------------------------------------------------------------------------------- */

static const char *const steps[] = {"none", "check", "create", "start", "reconfigure", "stop", "collect", NULL};
enum { NONE, CHECK, CREATE, START, RECONFIGURE, STOP, COLLECT };

struct part_config {
    int64_t level, fail, hang;
    const char *note;
    struct weir_list groups;
};
static const struct weir_option part_options[] = {
    {.name = "level", .type = WEIR_INT, .dflt = "0", .flags = WEIR_RELOADABLE, .offset = offsetof(struct part_config, level)},
    {.name = "note", .type = WEIR_STRING, .offset = offsetof(struct part_config, note)},
    {.name = "fail", .type = WEIR_ENUM, .dflt = "none", .choices = steps, .offset = offsetof(struct part_config, fail)},
    {.name = "hang", .type = WEIR_ENUM, .dflt = "none", .choices = steps, .offset = offsetof(struct part_config, hang)},
    {.name = "groups", .type = WEIR_LIST, .dflt = "{\"only\"}", .offset = offsetof(struct part_config, groups)},
    {.name = NULL}};
struct part {
    struct weir_self *self;
    const struct part_config *config;
    struct part_group {
        uint32_t group, series[2]; /* level, passes */
        uint64_t passes;
    } groups[4];
};
static _Atomic int parts, creations, reconfigurations;
static _Atomic bool released; /* lets those go that hang */

/* Ignores interruption, as a bad plugin does. */
static int step(const struct part_config *config, int64_t at)
{
    while (config->hang == at && !atomic_load(&released))
        usleep(1000);
    return config->fail == at ? WEIR_EFAIL : WEIR_OK;
}

static int part_check(struct weir_self *self, const void *config)
{
    (void)self;
    return step(config, CHECK) < 0 ? WEIR_ECONFIG : WEIR_OK;
}

static int part_create(struct weir_self *self, const void *given, void **state)
{
    static const struct weir_family families[] = {
        {.size = sizeof(struct weir_family), .kind = WEIR_GAUGE, .name = "level", .help = "h"},
        {.size = sizeof(struct weir_family), .kind = WEIR_COUNTER, .name = "passes", .help = "h"}};
    const struct part_config *config = given;
    const struct weir_label label = {"title", host->name(self)};
    struct part *part = calloc(1, sizeof(*part));
    uint32_t ids[2];
    int status;

    atomic_fetch_add(&parts, 1);
    atomic_fetch_add(&creations, 1);
    *state = part;
    part->self = self;
    part->config = config;
    for (size_t i = 0; i < 2; i++)
        if ((status = host->family(self, &families[i], &ids[i])) < 0)
            return status;
    for (size_t i = 0; i < config->groups.count; i++) {
        const struct weir_label labels[] = {label, {"group", config->groups.items[i]}};
        const struct weir_group group = {.size = sizeof(group), .name = config->groups.items[i], .context = &part->groups[i]};

        if ((status = host->group(self, &group, &part->groups[i].group)) < 0 ||
            (status = host->series(self, part->groups[i].group, labels, 2, ids, 2, part->groups[i].series)) < 0)
            return status;
    }
    return step(config, CREATE);
}

static int part_start(void *state)
{
    return step(((struct part *)state)->config, START);
}

static int part_reconfigure(void *state, const void *given)
{
    struct part *part = state;
    int status = step(given, RECONFIGURE);

    if (status == WEIR_OK) {
        part->config = given;
        atomic_fetch_add(&reconfigurations, 1);
        status = WEIR_KEEP; /* any success is one */
    }
    return status;
}

static int part_collect(void *state, const struct weir_pass *pass)
{
    struct part *part = state;
    struct part_group *group = pass->context;
    int status = step(part->config, COLLECT);
    const struct weir_value values[] = {{.series = group->series[0], .flags = WEIR_U64, .value.u64 = (uint64_t)part->config->level},
                                        {.series = group->series[1], .flags = WEIR_U64, .value.u64 = ++group->passes}};

    return status < 0 ? status : host->publish(part->self, values, 2);
}

static int part_stop(void *state)
{
    return step(((struct part *)state)->config, STOP);
}

static void part_destroy(void *state)
{
    atomic_fetch_sub(&parts, 1);
    free(state);
}

static const struct weir_plugin part_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_SOURCE, .name = "part", .version = "1", .summary = "s", .options = part_options,
    .option_stride = sizeof(struct weir_option), .config_size = sizeof(struct part_config), .check = part_check, .create = part_create,
    .start = part_start, .reconfigure = part_reconfigure, .collect = part_collect, .stop = part_stop, .destroy = part_destroy};

/* ---- well and user: a service and somebody inside ---------------------------------------------------------------------- */

struct well_config {
    int64_t depth;
};
struct well {
    _Atomic uint32_t alive;
    const struct well_config *config;
};
struct well_table {
    uint32_t size, version;
    int64_t (*depth)(void *well);
};
static const struct weir_option well_options[] = {
    {.name = "depth", .type = WEIR_INT, .dflt = "1", .offset = offsetof(struct well_config, depth)}, {.name = NULL}};

static int well_create(struct weir_self *self, const void *config, void **state)
{
    struct well *well = calloc(1, sizeof(*well));

    (void)self;
    well->config = config;
    *state = well;
    return WEIR_OK;
}
static int well_start(void *state)
{
    atomic_store(&((struct well *)state)->alive, ALIVE);
    return WEIR_OK;
}
static int well_stop(void *state)
{
    atomic_store(&((struct well *)state)->alive, 0);
    return WEIR_OK;
}
static int64_t well_depth(void *state)
{
    struct well *well = state;

    if (atomic_load(&well->alive) != ALIVE)
        abort(); /* somebody is inside a provider that has stopped */
    return well->config->depth;
}
static const struct well_table well_table = {.size = sizeof(well_table), .version = 1, .depth = well_depth};
static const struct weir_service well_services[] = {{.name = "well", .version = 1, .table = &well_table}, {.name = NULL}};
static const struct weir_plugin well_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_PROVIDER, .name = "well", .version = "1", .summary = "s", .options = well_options,
    .option_stride = sizeof(struct weir_option), .services = well_services, .service_stride = sizeof(struct weir_service),
    .config_size = sizeof(struct well_config), .create = well_create, .start = well_start, .stop = well_stop, .destroy = free};

struct user_config {
    struct weir_binding *well;
};
struct user {
    struct weir_self *self;
    const struct user_config *config;
    uint32_t group, series;
};
static const struct weir_option user_options[] = {
    {.name = "well", .type = WEIR_SERVICE, .flags = WEIR_REQUIRED, .service = "well", .service_version = 1,
     .offset = offsetof(struct user_config, well)},
    {.name = NULL}};
static _Atomic unsigned shut_out, rebound;
static _Atomic int64_t last_depth;

static int user_create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_family family = {.size = sizeof(family), .kind = WEIR_GAUGE, .name = "depth", .help = "h"};
    const struct weir_label label = {"title", host->name(self)};
    const struct weir_group group = {.size = sizeof(group), .name = "only", .interval_ns = 1000000};
    struct user *user = calloc(1, sizeof(*user));
    uint32_t id;
    int status;

    *state = user;
    user->self = self;
    user->config = config;
    if ((status = host->group(self, &group, &user->group)) < 0 || (status = host->family(self, &family, &id)) < 0)
        return status;
    return host->series(self, user->group, &label, 1, &id, 1, &user->series);
}
static int user_collect(void *state, const struct weir_pass *pass)
{
    struct user *user = state;
    const void *table;
    void *well;
    struct weir_value value = {.series = user->series, .flags = WEIR_U64};

    (void)pass;
    if (host->service_enter(user->self, user->config->well, &table, &well) < 0) {
        atomic_fetch_add(&shut_out, 1);
        return WEIR_EAGAIN;
    }
    for (unsigned i = 0; i < 20; i++) {
        value.value.u64 = (uint64_t)((const struct well_table *)table)->depth(well);
        sched_yield();
    }
    host->service_leave(user->self, user->config->well);
    atomic_store(&last_depth, (int64_t)value.value.u64);
    return host->publish(user->self, &value, 1);
}
static int user_provider_changed(void *state, const struct weir_binding *binding)
{
    ck_assert_ptr_eq(binding, ((struct user *)state)->config->well);
    atomic_fetch_add(&rebound, 1);
    return WEIR_OK;
}
static const struct weir_plugin user_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_SOURCE, .name = "user", .version = "1", .summary = "s", .options = user_options,
    .option_stride = sizeof(struct weir_option), .config_size = sizeof(struct user_config), .create = user_create,
    .collect = user_collect, .destroy = free, .provider_changed = user_provider_changed};

/* ---- witness: a sink ------------------------------------------------------------------------------------------------------ */

#define HANDLES 65536u
struct seen {
    uint32_t handle;
    bool live;
    uint64_t value;
    char name[64];
};
static struct {
    pthread_mutex_t lock;
    struct seen seen[HANDLES]; /* by index */
    uint64_t numbers[HANDLES]; /* by group: of its last pass */
    unsigned gaps, wrong;
} witness = {.lock = PTHREAD_MUTEX_INITIALIZER};
struct witness_config {
    const char *note;
};
static const struct weir_option witness_options[] = {
    {.name = "note", .type = WEIR_STRING, .offset = offsetof(struct witness_config, note)}, {.name = NULL}};

static void witness_sample(struct weir_self *self, const struct weir_sample *sample, bool snapshot)
{
    uint32_t flags = weir_sample_flags(sample), handle = weir_sample_series(sample), index = handle & WEIR_SERIES_INDEX;
    struct seen *seen = &witness.seen[index % HANDLES];

    if (flags & WEIR_S_MARK) {
        /* No pass is missing, also across reloads. */
        if (!snapshot && witness.numbers[handle] && sample->aux != witness.numbers[handle] + 1)
            witness.gaps++;
        witness.numbers[handle] = sample->aux;
    } else if (flags & (WEIR_S_STALE | WEIR_S_RELEASED)) {
        /* A draft that was given up had series that never had a value: only their end is told. */
        if (seen->handle != handle && (seen->handle || flags & WEIR_S_STALE))
            witness.wrong++;
        seen->live = false;
        if (flags & WEIR_S_RELEASED)
            seen->handle = 0;
    } else {
        if (seen->handle != handle) {
            struct weir_series_info info = {.size = sizeof(info)};

            if (seen->handle || host->series_info(self, handle, &info) < 0) {
                witness.wrong++; /* an index that was used again before its end was told */
                return;
            }
            seen->handle = handle;
            snprintf(seen->name, sizeof(seen->name), "%s", info.name);
            for (size_t i = 0; i < info.nlabels; i++)
                snprintf(seen->name + strlen(seen->name), sizeof(seen->name) - strlen(seen->name), "/%s", info.labels[i].value);
        }
        seen->live = true;
        seen->value = sample->bits;
    }
}

static int witness_create(struct weir_self *self, const void *config, void **state)
{
    (void)config;
    *state = self;
    return WEIR_OK;
}
static int witness_consume(void *state, const struct weir_batch *batch)
{
    pthread_mutex_lock(&witness.lock);
    if (batch->flags & WEIR_B_GAP)
        witness.gaps++;
    for (size_t i = 0; i < batch->nsamples; i++)
        witness_sample(state, &batch->samples[i], batch->flags & WEIR_B_SNAPSHOT);
    pthread_mutex_unlock(&witness.lock);
    return WEIR_OK;
}
static const struct weir_plugin witness_plugin = {
    .size = sizeof(struct weir_plugin), .roles = WEIR_SINK, .flags = WEIR_SINGLE, .name = "witness", .version = "1", .summary = "s",
    .options = witness_options, .option_stride = sizeof(struct weir_option), .config_size = sizeof(struct witness_config),
    .create = witness_create, .consume = witness_consume};

static bool witness_sees(const char *name, uint64_t value)
{
    bool sees = false;

    pthread_mutex_lock(&witness.lock);
    for (size_t i = 0; i < HANDLES && !sees; i++)
        sees = witness.seen[i].live && witness.seen[i].value == value && strcmp(witness.seen[i].name, name) == 0;
    pthread_mutex_unlock(&witness.lock);
    return sees;
}
static unsigned witness_live(const char *prefix)
{
    unsigned count = 0;

    pthread_mutex_lock(&witness.lock);
    for (size_t i = 0; i < HANDLES; i++)
        count += witness.seen[i].live && strncmp(witness.seen[i].name, prefix, strlen(prefix)) == 0;
    pthread_mutex_unlock(&witness.lock);
    return count;
}

/* ---- Driving ----------------------------------------------------------------------------------------------------------------- */

static struct instances *all;
static char path[] = "/tmp/weir-reload-XXXXXX";
static char why[RELOAD_REASON_MAX];

static const struct weir_plugin *resolve(void *context, const char *name, char *reason, size_t size)
{
    const struct weir_plugin *const plugins[] = {&part_plugin, &well_plugin, &user_plugin, &witness_plugin};

    (void)context;
    for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++)
        if (strcmp(plugins[i]->name, name) == 0)
            return plugins[i];
    snprintf(reason, size, "unknown");
    return NULL;
}

static int load(const char *format, ...) WEIR_PRINTF(1, 2);
static int load(const char *format, ...)
{
    static const struct reload_options options = {.then = INSTANCE_RUN};
    struct config_mistakes mistakes = {0};
    struct config *config = NULL;
    FILE *file = fopen(path, "w");
    va_list args;
    int status;

    ck_assert_ptr_nonnull(file);
    va_start(args, format);
    fputs("plugins = { \"part\", \"well\", \"user\", \"witness\" }\ninterval = \"100ms\"\nlog_level = \"error\"\n", file);
    vfprintf(file, format, args);
    va_end(args);
    fclose(file);
    why[0] = '\0';
    status = config_load(path, resolve, NULL, &config, &mistakes);
    if (status == WEIR_OK)
        status = reload_apply(all, config, &options, &mistakes, why, sizeof(why));
    else
        config_free(config);
    for (size_t i = 0; i < mistakes.count; i++)
        snprintf(why, sizeof(why), "%s", mistakes.lines[i]);
    config_mistakes_free(&mistakes);
    return status;
}

static void setup(void)
{
    int fd = mkstemp(path);

    close(fd);
    log_level_set(WEIR_ERROR);
    all = instances_new();
    ck_assert_ptr_nonnull(all);
}
static void teardown(void)
{
    atomic_store(&released, true);
    (void)instances_stop(all, clock_now_ns() + 30 * CLOCK_SECOND_NS);
    for (int64_t until_ns = clock_now_ns() + 60 * CLOCK_SECOND_NS; !instances_reap(all) && clock_now_ns() < until_ns;)
        usleep(1000);
    ck_assert_ptr_null(all->abandoned);
    instances_free(all);
    ck_assert_int_eq(atomic_load(&parts), 0);
    unlink(path);
    ck_assert_uint_eq(witness.wrong, 0);
    ck_assert_uint_eq(witness.gaps, 0);
}

#define WAIT(condition) \
    for (int64_t until_ns = clock_now_ns() + 60 * CLOCK_SECOND_NS; !(condition);) { \
        (void)instances_supervise(all); \
        ck_assert_msg(clock_now_ns() < until_ns, "not in time: %s", #condition); \
        usleep(1000); \
    }

static struct series_group *group_of(const char *name)
{
    struct seat *seat = seats_find(&all->seats, name);

    ck_assert_ptr_nonnull(seat);
    return atomic_load(&seat->groups);
}
static uint64_t passes_of(const char *name)
{
    return atomic_load(&group_of(name)->passes_ok);
}

/* ---- Tests --------------------------------------------------------------------------------------------------------------------- */

START_TEST(what_did_not_change_runs_on)
{
    int before;

    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
    before = atomic_load(&creations);
    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    ck_assert_int_eq(atomic_load(&creations), before);
    /* A reloadable option goes to the object there is; another makes a new one, which goes on with the numbers of the name. */
    ck_assert_int_eq(load("part \"a\" { level = 3 }\npart \"b\" { level = 2 note = \"x\" }\n"), WEIR_OK);
    ck_assert_int_eq(atomic_load(&creations), before + 1);
    ck_assert_int_eq(atomic_load(&reconfigurations), 1);
    WAIT(witness_sees("level/only/a", 3) && witness_sees("passes/only/b", 2));
    ck_assert_uint_gt(group_of("part/b")->number, 2);
    /* Removed: its series end; come again: the same seat, another life. */
    ck_assert_int_eq(load("part \"b\" { level = 2 note = \"x\" }\n"), WEIR_OK);
    WAIT(witness_live("level/only/a") == 0 && atomic_load(&group_of("part/a")->series) == 0);
    ck_assert_int_eq(load("part \"a\" { level = 5 }\npart \"b\" { level = 2 note = \"x\" }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/a", 5));
}
END_TEST

START_TEST(intervals_change_without_a_new_object)
{
    int before;
    uint64_t passes;

    ck_assert_int_eq(load("part \"a\" { interval = \"1h\" }\npart \"b\" { }\n"), WEIR_OK);
    WAIT(passes_of("part/a") == 1);
    before = atomic_load(&creations);
    ck_assert_int_eq(load("part \"a\" { interval = \"100ms\" }\npart \"b\" { interval = \"1h\" }\n"), WEIR_OK);
    WAIT(passes_of("part/a") > 3);
    passes = passes_of("part/b");
    WAIT(passes_of("part/a") > 10);
    ck_assert_uint_le(passes_of("part/b"), passes + 1);
    ck_assert_int_eq(atomic_load(&creations), before);
    ck_assert_int_eq(atomic_load(&reconfigurations), 0);
}
END_TEST

START_TEST(labels_and_groups_change_with_their_series)
{
    ck_assert_int_eq(load("part \"a\" { groups = { \"x\", \"y\" } }\n"), WEIR_OK);
    WAIT(witness_live("level/x") == 1 && witness_live("level/y") == 1);
    ck_assert_int_eq(load("part \"a\" { groups = { \"y\", \"z\" } labels = { \"where=here\" } }\n"), WEIR_OK);
    WAIT(witness_live("level/z/a/here") == 1 && witness_live("level/y/a/here") == 1);
    WAIT(witness_live("level/") == 2);
    WAIT(atomic_load(&all->seats.registry == NULL ? NULL : &group_of("part/a")->series) == 0);
}
END_TEST

/* Whatever fails, all is as it was: the values, the schedule, the number of objects. */
START_TEST(each_failure_leaves_all_as_it_was)
{
    static const struct {
        const char *change;
        int status;
        const char *says;
    } failures[] = {
        {"part \"a\" { level = 9 fail = \"check\" }", WEIR_ECONFIG, "part \"a\""},
        {"part \"a\" { level = 9 fail = \"create\" }", WEIR_EFAIL, "part/a could not be created"},
        {"part \"a\" { level = 9 fail = \"start\" }", WEIR_EFAIL, "part/a could not start"},
        {"part \"a\" { level = 9 }\npart \"new\" { fail = \"start\" }", WEIR_EFAIL, "part/new could not start"},
        {"part \"a\" { level = 9 note = \"y\" }\npart \"new\" { fail = \"create\" }", WEIR_EFAIL, "part/new could not be created"},
        {"part \"new\" { fail = \"start\" }", WEIR_EFAIL, "part/new could not start"}, /* and a is removed, nearly */
        {"part \"a\" { level = 9 labels = { \"title=b\" \"x=y\" } }", WEIR_ECONFIG, ""},
        {"user \"u\" { well = \"none\" }", WEIR_ECONFIG, "no enabled instance \"none\""},
        {"nonsense", WEIR_ECONFIG, ""}};

    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        uint64_t a = passes_of("part/a"), b = passes_of("part/b");

        ck_assert_int_eq(load("part \"b\" { level = 2 }\n%s\n", failures[i].change), failures[i].status);
        ck_assert_msg(strstr(why, failures[i].says) != NULL, "\"%s\" does not say \"%s\"", why, failures[i].says);
        WAIT(passes_of("part/a") > a + 2 && passes_of("part/b") > b + 2);
        ck_assert(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
        ck_assert_uint_eq(witness_live("level/"), 2);
        ck_assert_int_eq(atomic_load(&parts), 2);
        ck_assert_uint_eq(all->count, 4); /* a, b, witness, the collector's own */
        ck_assert_uint_eq(atomic_load(&group_of("part/a")->passes_failed), 0);
    }
    /* A reloadable change that is refused, with one before it that was taken. */
    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 hang = \"none\" }\n"), WEIR_OK);
}
END_TEST

START_TEST(a_refused_reconfiguration_takes_the_others_back)
{
    ck_assert_int_eq(load("part \"a\" { level = 1 }\npart \"b\" { level = 2 fail = \"reconfigure\" }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
    ck_assert_int_eq(load("part \"a\" { level = 7 }\npart \"b\" { level = 8 fail = \"reconfigure\" }\n"), WEIR_EFAIL);
    ck_assert_ptr_nonnull(strstr(why, "part/b could not take its changed options"));
    ck_assert_int_eq(atomic_load(&reconfigurations), 2); /* a: there and back */
    {
        uint64_t a = passes_of("part/a");

        WAIT(passes_of("part/a") > a + 2);
    }
    ck_assert(witness_sees("level/only/a", 1) && witness_sees("level/only/b", 2));
}
END_TEST

START_TEST(one_that_hangs_is_given_up_when_its_successor_works)
{
    /* First a successor that does not work: the one that hangs is left to it, and comes back. */
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { hang = \"collect\" }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    WAIT(witness_sees("level/only/b", 2));
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { fail = \"start\" }\npart \"b\" { level = 2 }\n"), WEIR_EFAIL);
    ck_assert_uint_eq(seats_abandoned(&all->seats), 0);
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { level = 4 }\npart \"b\" { level = 2 }\n"), WEIR_OK);
    ck_assert_uint_eq(seats_abandoned(&all->seats), 1);
    WAIT(witness_sees("level/only/a", 4));
    /* It returns after all, and changes nothing. */
    atomic_store(&released, true);
    {
        uint64_t a = passes_of("part/a");

        WAIT(passes_of("part/a") > a + 3);
    }
    ck_assert(witness_sees("level/only/a", 4));
}
END_TEST

START_TEST(one_that_hangs_is_left_alone_when_its_successor_fails)
{
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { level = 3 hang = \"collect\" }\n"), WEIR_OK);
    ck_assert_int_eq(load("timeout = \"100ms\"\npart \"a\" { hang = \"create\" }\n"), WEIR_ETIMEOUT);
    ck_assert_ptr_nonnull(strstr(why, "part/a could not be created: the plugin does not return from it"));
    ck_assert_uint_eq(seats_abandoned(&all->seats), 1); /* the successor */
    atomic_store(&released, true);
    WAIT(witness_sees("level/only/a", 3));
}
END_TEST

START_TEST(providers_are_replaced_while_users_are_inside)
{
    ck_assert_int_eq(load("well \"w\" { depth = 1 }\nuser \"u\" { well = \"w\" }\nuser \"v\" { well = \"w\" }\n"), WEIR_OK);
    for (unsigned i = 2; i < 2 + RACING_RELOADS; i++) {
        ck_assert_int_eq(load("well \"w\" { depth = %u }\nuser \"u\" { well = \"w\" }\nuser \"v\" { well = \"w\" }\n", i), WEIR_OK);
        ck_assert_uint_eq(atomic_load(&rebound), 2 * (i - 1));
    }
    WAIT(witness_sees("depth/u", 1 + RACING_RELOADS) && witness_sees("depth/v", 1 + RACING_RELOADS));
    /* Nobody was ever turned away: the successor was waited for. */
    ck_assert_uint_eq(atomic_load(&shut_out), 0);
    ck_assert_uint_eq(atomic_load(&group_of("user/u")->passes_failed), 0);
}
END_TEST

START_TEST(a_sink_is_replaced_and_misses_nothing)
{
    ck_assert_int_eq(load("part \"a\" { level = 1 interval = \"100ms\" }\n"), WEIR_OK);
    for (unsigned i = 0; i < RACING_RELOADS / 5; i++)
        ck_assert_int_eq(load("witness { note = \"%u\" }\npart \"a\" { level = %u interval = \"100ms\" }\n", i, i), WEIR_OK);
    WAIT(witness_sees("level/only/a", RACING_RELOADS / 5 - 1));
}
END_TEST

/* A thousand configurations, half of them wrong, and a model of what runs. */
START_TEST(random_configurations)
{
    struct model {
        bool is;
        unsigned level, label; /* label 2: none */
    } model[TITLES] = {0};
    unsigned good = 0, bad = 0;

    srand(7);
    for (unsigned round = 0; round < RANDOM_RELOADS; round++) {
        struct strbuf text = {.ceiling = 65536};
        struct model next[TITLES] = {0};
        bool wrong = rand() % 2;
        unsigned where = (unsigned)rand() % TITLES;
        int status;

        strbuf_printf(&text, "# %u\n", round);
        for (unsigned t = 0; t < TITLES; t++) {
            next[t] = (struct model){.is = rand() % 3 || (wrong && t == where), .level = (unsigned)rand() % 1000, .label = 2};
            if (!next[t].is)
                continue;
            if (model[t].is && rand() % 2)
                next[t].level = model[t].level;
            strbuf_printf(&text, "part \"t%u\" { level = %u note = \"%d\" ", t, next[t].level, rand() % 3);
            if (rand() % 2)
                strbuf_printf(&text, "groups = { \"only\", \"g%d\" } ", rand() % 3);
            next[t].label = (unsigned)rand() % 3;
            if (next[t].label < 2)
                strbuf_printf(&text, "labels = { \"x=%u\" } ", next[t].label);
            if (wrong && t == where) {
                static const char *const mistakes[] = {"fail = \"create\"", "fail = \"start\"", "fail = \"check\"", "level = \"x\"",
                                                       "unknown = 1", "note = \"again\"", "interval = \"0\"", "groups = {"};

                strbuf_printf(&text, "%s ", mistakes[rand() % 8]);
            }
            strbuf_printf(&text, "}\n");
        }
        status = load("%s", text.text);
        ck_assert_msg((status < 0) == wrong, "%d: %s\n%s", status, why, text.text);
        strbuf_free(&text);
        if (status == WEIR_OK)
            memcpy(model, next, sizeof(model));
        good += status == WEIR_OK;
        bad += status < 0;
        if (round % 10 && round + 1 < RANDOM_RELOADS)
            continue;
        for (unsigned t = 0; t < TITLES; t++) {
            char name[32];

            snprintf(name, sizeof(name), "level/only/t%u", t);
            if (model[t].is && model[t].label < 2)
                snprintf(name, sizeof(name), "level/only/t%u/%u", t, model[t].label);
            if (model[t].is)
                WAIT(witness_sees(name, model[t].level))
            else
                WAIT(witness_live(name) == 0)
        }
    }
    ck_assert_uint_gt(good, RANDOM_RELOADS / 3);
    ck_assert_uint_gt(bad, RANDOM_RELOADS / 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reload");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 600);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_did_not_change_runs_on);
    tcase_add_test(tests, intervals_change_without_a_new_object);
    tcase_add_test(tests, labels_and_groups_change_with_their_series);
    tcase_add_test(tests, each_failure_leaves_all_as_it_was);
    tcase_add_test(tests, a_refused_reconfiguration_takes_the_others_back);
    tcase_add_test(tests, one_that_hangs_is_given_up_when_its_successor_works);
    tcase_add_test(tests, one_that_hangs_is_left_alone_when_its_successor_fails);
    tcase_add_test(tests, providers_are_replaced_while_users_are_inside);
    tcase_add_test(tests, a_sink_is_replaced_and_misses_nothing);
    tcase_add_test(tests, random_configurations);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
