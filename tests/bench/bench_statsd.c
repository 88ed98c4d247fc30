/* bench_statsd.c - lines of StatsD per second on one core over loopback: the whole plugin, from consume to sendmmsg, beside a bare
 * loop of sendmmsg with the very datagrams that it sends.
 *
 * 190,000 series of the shape of pg_stat_user_tables, nineteen families of 10,000 tables: counters that all change, and gauges.
 * Nobody reads while the clock runs (CPU time of the thread, the kernel's share included), so that only sending is measured; the
 * datagrams are read once, before.
 */
#include <weir_plugin.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FAMILIES 19u
#define TABLES 10000u
#define SERIES (FAMILIES * TABLES)
#define BATCH 1024u
#define TURNS 9
#define DATAGRAM_MAX 1432u
#define AT_A_TIME 32u

static char names[FAMILIES][80], tables[TABLES][32];
static struct weir_label labels[TABLES][3];

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}
static int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}
static int64_t cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static int series_info(struct weir_self *self, uint32_t handle, struct weir_series_info *info)
{
    uint32_t i = handle - 1, family = i % FAMILIES, table = i / FAMILIES;

    (void)self;
    *info = (struct weir_series_info){.size = sizeof(*info), .kind = family < 15 ? WEIR_COUNTER : WEIR_GAUGE, .family = family,
                                      .group = 1, .labelset = table, .name = names[family], .labels = labels[table], .nlabels = 3};
    return WEIR_OK;
}
static int make_id(struct weir_self *self, const struct weir_family *family, uint32_t *id)
{
    (void)self;
    (void)family;
    *id = 1;
    return WEIR_OK;
}
static int make_group(struct weir_self *self, const struct weir_group *group, uint32_t *id)
{
    (void)self;
    (void)group;
    *id = 1;
    return WEIR_OK;
}
static int make_series(struct weir_self *self, uint32_t group, const struct weir_label *given, size_t nlabels,
                       const uint32_t *families, size_t nfamilies, uint32_t *handles)
{
    (void)self;
    (void)group;
    (void)given;
    (void)nlabels;
    (void)families;
    memset(handles, 0, nfamilies * sizeof(*handles));
    return WEIR_OK;
}
static int current(struct weir_self *self, int (*visit)(void *context, const struct weir_batch *batch), void *context)
{
    (void)self;
    (void)visit;
    (void)context;
    return WEIR_OK;
}
static void host_log(struct weir_self *self, int level, const char *format, ...)
{
    (void)self;
    (void)level;
    fprintf(stderr, "bench_statsd: %s\n", format);
    exit(1);
}
static const char *name(struct weir_self *self)
{
    (void)self;
    return "bench";
}
static const struct weir_host host = {.size = sizeof(host), .log = host_log, .name = name, .now_ns = now_ns, .group = make_group,
                                      .family = make_id, .series = make_series, .series_info = series_info, .current = current};

static const struct weir_option *option(const struct weir_plugin *plugin, const char *wanted)
{
    const struct weir_option *one = plugin->options;

    while (strcmp(one->name, wanted) != 0)
        one++;
    return one;
}

/* One pass, in batches as the host makes them; then drain is called after each. */
static void pass(const struct weir_plugin *plugin, void *state, uint64_t number, void (*drain)(void))
{
    static struct weir_sample samples[BATCH];
    struct weir_batch batch = {.size = sizeof(batch), .source_name = "bench", .samples = samples};

    for (uint32_t i = 0; i <= SERIES; i++) {
        struct weir_sample *sample = &samples[batch.nsamples++];

        *sample = (struct weir_sample){.head = (uint64_t)WEIR_S_U64 << 32 | (i + 1), .time_ns = (int64_t)number,
                                       .bits = number * (i % 1000 + 1)};
        if (i == SERIES)
            *sample = (struct weir_sample){.head = (uint64_t)WEIR_S_MARK << 32 | 1, .time_ns = (int64_t)number};
        if (batch.nsamples < BATCH && i < SERIES)
            continue;
        plugin->consume(state, &batch);
        batch.nsamples = 0;
        if (drain)
            drain();
    }
    plugin->flush(state, 0);
    if (drain)
        drain();
}

static int receiver;
static struct iovec *datagrams;
static size_t ndatagrams, nlines;

static void capture(void)
{
    static char datagram[DATAGRAM_MAX];
    ssize_t length;

    while ((length = recv(receiver, datagram, sizeof(datagram), MSG_DONTWAIT)) > 0) {
        datagrams = realloc(datagrams, (ndatagrams + 1) * sizeof(*datagrams));
        datagrams[ndatagrams] = (struct iovec){malloc((size_t)length), (size_t)length};
        memcpy(datagrams[ndatagrams++].iov_base, datagram, (size_t)length);
        nlines++;
        for (const char *at = datagram; (at = memchr(at, '\n', (size_t)(datagram + length - at))); at++)
            nlines++;
    }
}

static void bare(int fd)
{
    struct mmsghdr messages[AT_A_TIME];

    for (size_t i = 0; i < ndatagrams;) {
        unsigned count = 0;

        for (; count < AT_A_TIME && i < ndatagrams; count++, i++)
            messages[count] = (struct mmsghdr){.msg_hdr = {.msg_iov = &datagrams[i], .msg_iovlen = 1}};
        if (sendmmsg(fd, messages, count, 0) != (int)count) {
            perror("sendmmsg");
            exit(1);
        }
    }
}

static int compare(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

static void run(int64_t dialect)
{
    const struct weir_plugin *plugin = weir_plugin_v1(&host);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    static const char *const all[] = {"*"};
    char *config = calloc(1, plugin->config_size), to[64];
    double ours[TURNS], theirs[TURNS];
    uint64_t number = 1;
    void *state = NULL;
    size_t bytes = 0;
    const int buffer = 212992; /* of Linux, which doubles it: a batch and what was held fit in */
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    receiver = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(receiver, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    if (bind(receiver, (struct sockaddr *)&address, length) < 0 ||
        getsockname(receiver, (struct sockaddr *)&address, &length) < 0 ||
        connect(fd, (struct sockaddr *)&address, length) < 0) {
        perror("socket");
        exit(1);
    }
    snprintf(to, sizeof(to), "127.0.0.1:%u", ntohs(address.sin_port));
    *(const char **)(void *)(config + option(plugin, "address")->offset) = to;
    *(int64_t *)(void *)(config + option(plugin, "dialect")->offset) = dialect;
    *(struct weir_list *)(void *)(config + option(plugin, "metrics")->offset) = (struct weir_list){all, 1};
    *(int64_t *)(void *)(config + option(plugin, "datagram_max")->offset) = DATAGRAM_MAX;
    if (plugin->create(NULL, config, &state) < 0 || plugin->start(state) < 0)
        exit(1);
    pass(plugin, state, number++, capture); /* baselines */
    ndatagrams = nlines = 0;
    pass(plugin, state, number++, capture);
    if (nlines != SERIES) {
        fprintf(stderr, "bench_statsd: %zu lines of %u arrived\n", nlines, SERIES);
        exit(1);
    }
    for (size_t i = 0; i < ndatagrams; i++)
        bytes += datagrams[i].iov_len;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        int64_t began = cpu_ns(), between;

        pass(plugin, state, number++, NULL);
        between = cpu_ns();
        bare(fd);
        ours[turn] = (double)(between - began) / 1e9;
        theirs[turn] = (double)(cpu_ns() - between) / 1e9;
    }
    qsort(ours, TURNS, sizeof(double), compare);
    qsort(theirs, TURNS, sizeof(double), compare);
    printf("statsd, %s: %zu lines, %.1f MB in %zu datagrams: %.2f M lines/s (%.2f-%.2f), bare sendmmsg %.2f M lines/s (%.2f-%.2f), "
           "ratio %.2f (goal >= 0.5) %s\n",
           dialect ? "dogstatsd" : "plain", nlines, (double)bytes / 1e6, ndatagrams, (double)nlines / ours[TURNS / 2] / 1e6,
           (double)nlines / ours[TURNS - 1] / 1e6, (double)nlines / ours[0] / 1e6, (double)nlines / theirs[TURNS / 2] / 1e6,
           (double)nlines / theirs[TURNS - 1] / 1e6, (double)nlines / theirs[0] / 1e6, theirs[TURNS / 2] / ours[TURNS / 2],
           theirs[TURNS / 2] / ours[TURNS / 2] >= 0.5 ? "met" : "MISSED");
    plugin->stop(state);
    plugin->destroy(state);
    free(config);
    close(receiver);
    close(fd);
}

int main(void)
{
    for (uint32_t i = 0; i < FAMILIES; i++)
        snprintf(names[i], sizeof(names[i]), "pg_stat_user_tables_some_figure_%u%s", i, i < 15 ? "_total" : "");
    for (uint32_t i = 0; i < TABLES; i++) {
        snprintf(tables[i], sizeof(tables[i]), "table_%u", i);
        labels[i][0] = (struct weir_label){"datname", "orders"};
        labels[i][1] = (struct weir_label){"relname", tables[i]};
        labels[i][2] = (struct weir_label){"schemaname", "public"};
    }
    run(0);
    run(1);
    return 0;
}
