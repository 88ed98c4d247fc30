/* check_statsd.c - what the plugin statsd sends: names, deltas, numbers, packing, the buckets, and sockets that fail. */
#include "assertions.h"
#include "buckets.h"
#include "counter.h"
#include "endpoint.h"
#include "naming.h"
#include "packets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

/* ---- A host ------------------------------------------------------------------------------------------------------ */

#define SERIES_MAX 8u
static struct weir_series_info known[SERIES_MAX]; /* by index; size 0: ended */
static unsigned logged;
static char last_log[512];

static int series_info(struct weir_self *self, uint32_t handle, struct weir_series_info *info)
{
    (void)self;
    if ((handle & WEIR_SERIES_INDEX) >= SERIES_MAX || !known[handle & WEIR_SERIES_INDEX].size)
        return WEIR_ESTALE;
    *info = known[handle & WEIR_SERIES_INDEX];
    return WEIR_OK;
}

WEIR_PRINTF(3, 4) static void host_log(struct weir_self *self, int level, const char *format, ...)
{
    va_list arguments;

    (void)self;
    (void)level;
    va_start(arguments, format);
    vsnprintf(last_log, sizeof(last_log), format, arguments);
    va_end(arguments);
    logged++;
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static int wait_fd(struct weir_self *self, int fd, int events, int64_t deadline_ns)
{
    struct pollfd one = {.fd = fd, .events = (short)events};
    int64_t left_ns = deadline_ns - now_ns();
    int ready = poll(&one, fd >= 0, left_ns > 0 ? (int)(left_ns / 1000000 + 1) : 0);

    (void)self;
    return ready > 0 ? one.revents : WEIR_ETIMEOUT;
}

static const struct weir_host host = {.size = sizeof(host), .log = host_log, .now_ns = now_ns, .wait_fd = wait_fd,
                                      .series_info = series_info};

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static struct naming *naming(int64_t dialect, const char *template)
{
    static const char *const all[] = {"*"};
    const struct naming_options options = {.dialect = dialect, .template = template, .metrics = {all, 1}};
    char why[512];
    struct naming *made = naming_new(&options, why, sizeof(why));

    ck_assert_msg(made, "%s", why);
    return made;
}

static const struct weir_label labels[] = {
    {"addr", "10.0.0.1:5432"}, {"datname", "or|ders"}, {"path", "/a,b#c@d"}, {"query", "SELECT \xc3\xa9\n\xe2\x82\xac"}};

static void assert_line(int64_t dialect, const char *template, const struct weir_label *given, size_t count, bool counter,
                        const char *expected)
{
    const struct weir_series_info info = {.size = sizeof(info), .name = "pg:some_total", .labels = given, .nlabels = count};
    struct naming *made = naming(dialect, template);
    char text[512], line[600];
    uint32_t name;
    size_t length = naming_make(made, &info, counter, text, sizeof(text), &name);

    ck_assert_uint_gt(length, 0);
    snprintf(line, sizeof(line), "%.*s7%.*s", (int)name, text, (int)(length - name), text + name);
    ck_assert_str_eq(line, expected);
    /* Every room that is too small is noticed. */
    for (size_t room = 0; room < length; room++) {
        char *tight = malloc(room ? room : 1);

        ck_assert_uint_eq(naming_make(made, &info, counter, tight, room, &name), 0);
        free(tight);
    }
    naming_free(made);
}

START_TEST(names)
{
    assert_line(NAMING_STATSD, NULL, labels, 2, true, "pg_some_total.addr.10_0_0_1_5432.datname.or_ders:7|c");
    assert_line(NAMING_STATSD, NULL, NULL, 0, false, "pg_some_total:7|g");
    assert_line(NAMING_STATSD, "{labels}.{name}", NULL, 0, false, "pg_some_total:7|g");
    assert_line(NAMING_STATSD, ".a..{none}.{datname}.{name}.x-{path}.", labels, 3, false, "a.or_ders.pg_some_total.x-_a_b_c_d:7|g");
    assert_line(NAMING_STATSD, "{name}.{query}.{labels}", labels, 4, false,
                "pg_some_total.SELECT____.addr.10_0_0_1_5432.datname.or_ders.path._a_b_c_d:7|g");
    assert_line(NAMING_DOGSTATSD, NULL, labels, 4, true,
                "pg_some_total:7|c|#addr:10.0.0.1_5432,datname:or_ders,path:/a_b_c_d,query:SELECT____");
    assert_line(NAMING_DOGSTATSD, "pg.{datname}.{name}", labels, 2, false, "pg.or_ders.pg_some_total:7|g|#addr:10.0.0.1_5432");
    assert_line(NAMING_DOGSTATSD, "{name}.{labels}", labels + 1, 1, false, "pg_some_total.datname.or_ders:7|g");
    assert_line(NAMING_DOGSTATSD, NULL, NULL, 0, false, "pg_some_total:7|g");
}
END_TEST

START_TEST(names_refused)
{
    static const char *const bad[] = {"x", "{name", "{name}{", "{name}{}", "{name} x", "{name}:x", "{na me}",
                                      "{name}\xc3\xa9", "}{name}"};
    static const char *const tags[] = {"env:prod", "a|b"}, *const empty[] = {""};
    struct naming_options options = {.dialect = NAMING_STATSD};
    char why[512];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        options.template = bad[i];
        ck_assert_msg(!naming_new(&options, why, sizeof(why)), "\"%s\"", bad[i]);
        ck_assert_msg(strncmp(why, "template: ", 10) == 0, "\"%s\": %s", bad[i], why);
    }
    options = (struct naming_options){.dialect = NAMING_STATSD, .tags = {tags, 1}};
    ck_assert_ptr_null(naming_new(&options, why, sizeof(why)));
    ck_assert_ptr_nonnull(strstr(why, "dogstatsd"));
    options = (struct naming_options){.dialect = NAMING_DOGSTATSD, .tags = {tags, 2}};
    ck_assert_ptr_null(naming_new(&options, why, sizeof(why)));
    ck_assert_ptr_nonnull(strstr(why, "\"a|b\""));
    options.tags = (struct weir_list){empty, 1};
    ck_assert_ptr_null(naming_new(&options, why, sizeof(why)));
}
END_TEST

START_TEST(names_chosen)
{
    static const char *const patterns[] = {"*", "!weir_*", "weir_up"}, *const tags[] = {"env:prod", "team:db"};
    const struct naming_options options = {.dialect = NAMING_DOGSTATSD, .metrics = {patterns, 3}, .tags = {tags, 2}};
    const struct weir_series_info info = {.size = sizeof(info), .name = "x", .labels = labels, .nlabels = 1};
    char why[512], text[128];
    struct naming *made = naming_new(&options, why, sizeof(why));
    uint32_t name;

    ck_assert(naming_takes(made, "pg_up"));
    ck_assert(!naming_takes(made, "weir_series"));
    ck_assert(naming_takes(made, "weir_up"));
    text[naming_make(made, &info, false, text, sizeof(text), &name)] = '\0';
    ck_assert_str_eq(text, "x:|g|#addr:10.0.0.1_5432,env:prod,team:db");
    naming_free(made);
}
END_TEST

/* ---- Counters ---------------------------------------------------------------------------------------------------- */

static struct weir_sample integer(uint64_t value)
{
    return (struct weir_sample){.head = (uint64_t)WEIR_S_U64 << 32, .bits = value};
}

static struct weir_sample real(double value)
{
    struct weir_sample sample = {.head = 0};

    memcpy(&sample.bits, &value, sizeof(value));
    return sample;
}

static enum counter_result take(struct counter *counter, struct weir_sample sample, struct counter_delta *delta)
{
    return counter_take(counter, &sample, delta);
}

START_TEST(deltas_of_integers)
{
    struct counter counter = {.known = false};
    struct counter_delta delta, owed;

    ck_assert_int_eq(take(&counter, integer(1000), &delta), COUNTER_BASELINE);
    ck_assert_int_eq(take(&counter, integer(1000), &delta), COUNTER_UNCHANGED);
    ck_assert_int_eq(take(&counter, integer(1003), &delta), COUNTER_DELTA);
    ck_assert(delta.integer && delta.value.u64 == 3);
    /* Beyond what a double can tell apart. */
    ck_assert_int_eq(take(&counter, integer(UINT64_MAX - 1), &delta), COUNTER_DELTA);
    ck_assert_int_eq(take(&counter, integer(UINT64_MAX), &delta), COUNTER_DELTA);
    ck_assert_uint_eq(delta.value.u64, 1);
    /* Begun again. */
    ck_assert_int_eq(take(&counter, integer(5), &delta), COUNTER_DELTA);
    ck_assert_uint_eq(delta.value.u64, 5);
    /* What did not leave comes with the next, across a new beginning too. */
    ck_assert_int_eq(take(&counter, integer(15), &owed), COUNTER_DELTA);
    counter_give_back(&counter, &owed);
    ck_assert_int_eq(take(&counter, integer(15), &delta), COUNTER_DELTA);
    ck_assert_uint_eq(delta.value.u64, 10);
    counter_give_back(&counter, &delta);
    ck_assert_int_eq(take(&counter, integer(4), &delta), COUNTER_DELTA);
    ck_assert_uint_eq(delta.value.u64, 14);
    ck_assert_int_eq(take(&counter, integer(0), &delta), COUNTER_UNCHANGED);
    /* Two that did not. */
    ck_assert_int_eq(take(&counter, integer(1), &owed), COUNTER_DELTA);
    ck_assert_int_eq(take(&counter, integer(3), &delta), COUNTER_DELTA);
    counter_give_back(&counter, &owed);
    counter_give_back(&counter, &delta);
    ck_assert_int_eq(take(&counter, integer(3), &delta), COUNTER_DELTA);
    ck_assert_uint_eq(delta.value.u64, 3);
}
END_TEST

START_TEST(deltas_of_doubles)
{
    struct counter counter = {.known = false};
    struct counter_delta delta;
    double sum = 0, value = 1e6;
    char text[PACKETS_NUMBER_MAX];

    ck_assert_int_eq(take(&counter, real(value), &delta), COUNTER_BASELINE);
    for (int i = 0; i < 100000; i++) { /* every delta is short, and nothing adds up */
        value += 0.1;
        if (take(&counter, real(value), &delta) == COUNTER_DELTA) {
            sum += delta.value.f64;
            ck_assert_uint_le(packets_number_f64(text, delta.value.f64), 8);
        }
    }
    ck_assert_double_eq_tol(sum, value - 1e6, 1e-6);
    /* Less than a millionth waits until it is one. */
    ck_assert_int_eq(take(&counter, real(0), &delta), COUNTER_UNCHANGED);
    for (int i = 1; i <= 4; i++)
        ck_assert_int_eq(take(&counter, real(i * 1e-7), &delta), COUNTER_UNCHANGED);
    ck_assert_int_eq(take(&counter, real(1e-6), &delta), COUNTER_DELTA);
    ck_assert_double_eq(delta.value.f64, 1e-6);
    ck_assert_int_eq(take(&counter, real(NAN), &delta), COUNTER_INVALID);
    ck_assert_int_eq(take(&counter, real(INFINITY), &delta), COUNTER_INVALID);
    ck_assert_int_eq(take(&counter, real(-1), &delta), COUNTER_INVALID);
    ck_assert_int_eq(take(&counter, real(2.000001), &delta), COUNTER_DELTA);
    ck_assert_double_eq(delta.value.f64, 2);
    /* The largest there are, and what was owed on top. */
    ck_assert_int_eq(take(&counter, real(1.7e308), &delta), COUNTER_DELTA);
    counter_give_back(&counter, &delta);
    ck_assert_int_eq(take(&counter, real(1.6e308), &delta), COUNTER_INVALID);
    ck_assert_int_eq(take(&counter, real(1.65e308), &delta), COUNTER_DELTA);
    ck_assert(isfinite(delta.value.f64));
}
END_TEST

START_TEST(deltas_of_both)
{
    struct counter counter = {.known = false};
    struct counter_delta delta, owed;

    ck_assert_int_eq(take(&counter, integer(10), &delta), COUNTER_BASELINE);
    ck_assert_int_eq(take(&counter, integer(14), &owed), COUNTER_DELTA);
    ck_assert_int_eq(take(&counter, real(14.5), &delta), COUNTER_DELTA);
    ck_assert_double_eq(delta.value.f64, 0.5);
    counter_give_back(&counter, &owed);
    ck_assert_int_eq(take(&counter, integer(15), &delta), COUNTER_DELTA);
    ck_assert_double_eq(delta.value.f64, 4.5);
    ck_assert(!delta.integer);
    /* What was owed of integers when a double came. */
    counter = (struct counter){.known = false};
    (void)take(&counter, integer(10), &delta);
    (void)take(&counter, integer(14), &owed);
    counter_give_back(&counter, &owed);
    (void)take(&counter, integer(2), &owed);
    counter_give_back(&counter, &owed);
    ck_assert_int_eq(take(&counter, real(2.5), &delta), COUNTER_DELTA);
    ck_assert_double_eq(delta.value.f64, 6.5);
}
END_TEST

/* ---- Numbers and packing ----------------------------------------------------------------------------------------- */

static void assert_number(double value, const char *expected)
{
    char *text = malloc(PACKETS_NUMBER_MAX);
    size_t length = packets_number_f64(text, value);

    ck_assert_msg(length == strlen(expected) && memcmp(text, expected, length) == 0, "%.*s is not %s", (int)length, text, expected);
    free(text);
}

START_TEST(numbers)
{
    unsigned long long seed = 88172645463325252ull;

    assert_number(0.0, "0");
    assert_number(-0.0, "0");
    assert_number(-3, "-3");
    assert_number(0.25, "0.25");
    assert_number(1e15, "1000000000000000");
    assert_number(1e21, "1000000000000000000000");
    assert_number(-1.5e-7, "-0.00000015");
    assert_number(1.25e22, "12500000000000000000000");
    for (int i = 0; i < 200000; i++) { /* any double reads back, without an exponent */
        char text[PACKETS_NUMBER_MAX + 1];
        double value;
        size_t length;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        memcpy(&value, &seed, sizeof(value));
        if (!isfinite(value))
            continue;
        length = packets_number_f64(text, value);
        ck_assert_uint_le(length, PACKETS_NUMBER_MAX);
        text[length] = '\0';
        ck_assert_uint_eq(strspn(text, "-0123456789."), length);
        ck_assert_double_eq(strtod(text, NULL), value);
    }
    assert_number(5e-324, "0." "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
                          "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
                          "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
                          "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
                          "0005");
}
END_TEST

static struct series_text *text_of(const char *name, const char *rest)
{
    size_t length = strlen(name) + strlen(rest);
    struct series_text *text = malloc(sizeof(*text) + length);

    text->name_length = (uint32_t)strlen(name);
    text->length = (uint32_t)length;
    memcpy(text->bytes, name, strlen(name));
    memcpy(text->bytes + strlen(name), rest, strlen(rest));
    return text;
}

START_TEST(packing)
{
    static const char digits[] = "1234567890123456789012345678901234567890123456789012345678";
    struct series_text *text = text_of("name:", "|g"); /* "name:12345|g" has 12 bytes */
    struct packets_sample sample = {.handle = 1};
    struct packets packets;

    ck_assert(packets_init(&packets, 64));
    for (unsigned i = 0; i < PACKETS_MAX * 5; i++) { /* 5 * 12 + 4 newlines are exactly 64 */
        sample.handle = i;
        ck_assert_int_eq(packets_add(&packets, text, "12345", 5, false, &sample), PACKETS_OK);
    }
    ck_assert_uint_eq(packets.count, PACKETS_MAX);
    ck_assert_int_eq(packets_add(&packets, text, "1", 1, false, &sample), PACKETS_FULL);
    for (size_t i = 0; i < PACKETS_MAX; i++) {
        ck_assert_uint_eq(packets.lengths[i], 64);
        ck_assert_uint_eq(packets.nlines[i], 5);
        ck_assert_mem_eq(packets_datagram(&packets, i), "name:12345|g\nname:12345|g\nname:12345|g\nname:12345|g\nname:12345|g", 64);
        for (uint32_t k = packets_first_sample(&packets, i); k < packets.ends[i]; k++)
            ck_assert_uint_eq(packets.samples[k].handle, k);
    }
    packets_clear(&packets);
    /* A negative gauge is one piece. */
    ck_assert_int_eq(packets_add(&packets, text, digits, 33, false, &sample), PACKETS_OK); /* 40 bytes */
    ck_assert_int_eq(packets_add(&packets, text, "-12345", 6, true, &sample), PACKETS_OK); /* 8 + 1 + 13 */
    ck_assert_int_eq(packets_add(&packets, text, "-1234567", 8, true, &sample), PACKETS_OK);
    ck_assert_uint_eq(packets.count, 2);
    ck_assert_uint_eq(packets.lengths[0], 63);
    ck_assert_mem_eq(packets_datagram(&packets, 0) + 40, "\nname:0|g\nname:-12345|g", 23);
    ck_assert_uint_eq(packets.nlines[0], 3);
    ck_assert_uint_eq(packets.ends[0], 2);
    ck_assert_mem_eq(packets_datagram(&packets, 1), "name:0|g\nname:-1234567|g", 24);
    /* A line of 64 fits, one of 65 never does; and as a pair. */
    ck_assert_int_eq(packets_add(&packets, text, digits, 57, false, &sample), PACKETS_OK);
    ck_assert_int_eq(packets_add(&packets, text, digits, 58, false, &sample), PACKETS_TOO_LONG);
    ck_assert_int_eq(packets_add(&packets, text, digits, 49, true, &sample), PACKETS_TOO_LONG);
    packets_clear(&packets);
    /* Two of 32 and the newline between them are one too many. */
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(packets_add(&packets, text, digits, 25, false, &sample), PACKETS_OK);
    ck_assert_uint_eq(packets.count, 2);
    packets_free(&packets);
    /* Large datagrams are fewer, and samples more than there was room for at first. */
    ck_assert(packets_init(&packets, PACKETS_DATAGRAM_MAX));
    while (packets_add(&packets, text, "1", 1, false, &sample) == PACKETS_OK)
        ;
    ck_assert_uint_eq(packets.count, PACKETS_BYTES_MAX / PACKETS_DATAGRAM_MAX);
    ck_assert_uint_eq(packets.nsamples, packets.count * ((PACKETS_DATAGRAM_MAX + 1) / 9));
    packets_free(&packets);
    free(text);
}
END_TEST

/* ---- The buckets ------------------------------------------------------------------------------------------------- */

static const struct weir_label blank[] = {{"a", "x y"}}, underscore[] = {{"a", "x_y"}};

static void know(uint32_t index, const char *name, uint32_t kind, const struct weir_label *label)
{
    known[index] = (struct weir_series_info){.size = sizeof(known[0]), .kind = kind, .group = index, .source = index % 2,
                                             .name = name, .labels = label, .nlabels = label != NULL};
}

START_TEST(series)
{
    struct naming *plain = naming(NAMING_STATSD, NULL), *tagged = naming(NAMING_DOGSTATSD, NULL);
    struct buckets *buckets = buckets_new(&host, NULL, plain, false, false);
    const uint64_t *counts = buckets_counts(buckets);
    struct bucket *one;
    const uint32_t next_generation = 1u << 24;

    memset(known, 0, sizeof(known));
    logged = 0;
    know(1, "x", WEIR_GAUGE, blank);
    know(2, "x", WEIR_GAUGE, underscore);
    know(3, "y_total", WEIR_COUNTER, NULL);
    know(4, "z_info", WEIR_INFO, blank);
    know(5, "h", WEIR_HISTOGRAM, NULL);
    ck_assert_ptr_null(buckets_get(buckets, 6));
    one = buckets_get(buckets, 1);
    ck_assert_mem_eq(one->text->bytes, "x.a.x_y:|g", 10);
    ck_assert_uint_eq(one->group, 1);
    /* The same name: told once, and sent once the first has ended, whoever says so. */
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(buckets_get(buckets, 2)->state, BUCKET_COLLISION);
    ck_assert_uint_eq(logged, 1);
    ck_assert_ptr_nonnull(strstr(last_log, "\"x.a.x_y\""));
    known[1].size = 0;
    ck_assert_int_eq(buckets_get(buckets, 2)->state, BUCKET_SENT);
    ck_assert_ptr_null(buckets_known(buckets, 1));
    ck_assert(buckets_get(buckets, 3)->is_counter);
    ck_assert_int_eq(buckets_get(buckets, 4)->state, BUCKET_KIND);
    ck_assert_int_eq(buckets_get(buckets, 5)->state, BUCKET_KIND);
    ck_assert(counts[BUCKET_SENT] == 2 && counts[BUCKET_KIND] == 2 && counts[BUCKET_COLLISION] == 0);
    /* Other rules; the counter goes on. */
    buckets_get(buckets, 3)->counter.known = true;
    buckets_rename(buckets, tagged, true, false);
    ck_assert_uint_eq(counts[BUCKET_UNNAMED], 4);
    ck_assert(buckets_get(buckets, 3)->counter.known);
    ck_assert_mem_eq(buckets_get(buckets, 4)->text->bytes, "z_info:|g|#a:x_y", 16);
    ck_assert_mem_eq(buckets_get(buckets, 2)->text->bytes, "x:|g|#a:x_y", 11);
    ck_assert_int_eq(buckets_get(buckets, 5)->state, BUCKET_KIND);
    buckets_rename(buckets, tagged, true, true);
    ck_assert(!buckets_get(buckets, 3)->is_counter);
    /* A new generation at the same index, the old one not told as ended. */
    know(3, "w", WEIR_GAUGE, NULL);
    ck_assert_mem_eq(buckets_get(buckets, 3 | next_generation)->text->bytes, "w:|g", 4);
    ck_assert_ptr_null(buckets_known(buckets, 3));
    buckets_forget(buckets, 3); /* too late */
    ck_assert_ptr_nonnull(buckets_known(buckets, 3 | next_generation));
    buckets_forget_source(buckets, 1);
    ck_assert_ptr_null(buckets_known(buckets, 3 | next_generation));
    ck_assert_ptr_nonnull(buckets_known(buckets, 2));
    buckets_forget(buckets, 2);
    buckets_forget(buckets, 4);
    for (int i = 0; i < BUCKET_STATES; i++)
        ck_assert_uint_eq(counts[i], 0);
    buckets_free(buckets);
    naming_free(plain);
    naming_free(tagged);
}
END_TEST

/* ---- Sockets ----------------------------------------------------------------------------------------------------- */

START_TEST(addresses)
{
    static const char *const good[] = {"localhost:8125", "127.0.0.1:1", "[::1]:65535", "unix:/run/x"};
    static const char *const bad[] = {"localhost", ":8125", "localhost:", "localhost:0", "localhost:65536", "localhost:8125x",
                                      "localhost:+1", "::1:8125", "[]:8125", "[::1:8125", "[::1]8125", "[::1]x:8125", "unix:x",
                                      "unix:", "udp://x:1", "localhost:99999999999999999999"};
    char path[200] = "unix:/";

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ck_assert_msg(!endpoint_check(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(endpoint_check(bad[i]), "%s", bad[i]);
    memset(path + 6, 'x', sizeof(path) - 7);
    ck_assert_ptr_nonnull(endpoint_check(path));
}
END_TEST

static struct endpoint_figures figures;

static struct endpoint *endpoint_at(const char *address, int64_t rate_bytes, int64_t timeout_ns)
{
    const struct endpoint_options options = {.address = address, .rate_bytes = rate_bytes, .timeout_ns = timeout_ns,
                                             .resolve_ns = SECOND_NS, .figures = &figures};
    struct endpoint *endpoint = endpoint_new(&host, NULL, &options);

    memset(&figures, 0, sizeof(figures));
    logged = 0;
    ck_assert_ptr_nonnull(endpoint);
    endpoint_open(endpoint);
    return endpoint;
}

static int udp_receiver(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int unix_receiver(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, path);
    unlink(path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static size_t received(int fd)
{
    char datagram[PACKETS_DATAGRAM_MAX];
    size_t count = 0;

    while (recv(fd, datagram, sizeof(datagram), 0) > 0)
        count++;
    return count;
}

/* Sends `count` datagrams of 59 bytes; how many of them had each outcome. */
static void send_some(struct endpoint *endpoint, unsigned count, unsigned outcomes[ENDPOINT_OUTCOMES])
{
    struct series_text *text = text_of("01234567890123456789012345678901234567890123456789:", "|g");
    enum endpoint_outcome each[PACKETS_MAX];
    const struct packets_sample sample = {.handle = 1};
    struct packets packets;

    ck_assert(packets_init(&packets, 64));
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(packets_add(&packets, text, "123456", 6, false, &sample), PACKETS_OK);
    endpoint_send(endpoint, &packets, now_ns(), each);
    memset(outcomes, 0, ENDPOINT_OUTCOMES * sizeof(outcomes[0]));
    for (unsigned i = 0; i < count; i++)
        outcomes[each[i]]++;
    packets_free(&packets);
    free(text);
}

START_TEST(udp_away_and_back)
{
    uint16_t port = 0;
    int fd = udp_receiver(&port);
    unsigned outcomes[ENDPOINT_OUTCOMES];
    struct endpoint *endpoint;
    char address[64];

    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    endpoint = endpoint_at(address, 0, SECOND_NS);
    send_some(endpoint, PACKETS_MAX, outcomes);
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(outcomes[ENDPOINT_SENT], PACKETS_MAX);
    ck_assert_uint_eq(received(fd), PACKETS_MAX);
    close(fd);
    /* The first one is gone before anyone can know; then one by one it is noticed, and no more is tried in this cycle. */
    send_some(endpoint, PACKETS_MAX, outcomes);
    ck_assert_uint_eq(outcomes[ENDPOINT_SENT], 1);
    ck_assert_uint_eq(outcomes[ENDPOINT_REFUSED], PACKETS_MAX - 1);
    send_some(endpoint, 3, outcomes);
    ck_assert_uint_eq(outcomes[ENDPOINT_REFUSED], 3);
    ck_assert_uint_eq(figures.refusals, 1);
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(logged, 1);
    ck_assert_ptr_nonnull(strstr(last_log, "Connection refused"));
    /* In a later cycle nothing is lost. */
    send_some(endpoint, PACKETS_MAX, outcomes);
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(outcomes[ENDPOINT_REFUSED], PACKETS_MAX);
    ck_assert_uint_eq(logged, 1);
    fd = udp_receiver(&port);
    send_some(endpoint, PACKETS_MAX, outcomes);
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(outcomes[ENDPOINT_SENT], PACKETS_MAX);
    ck_assert_uint_eq(received(fd), PACKETS_MAX);
    ck_assert_uint_eq(logged, 2);
    ck_assert_uint_eq(figures.datagrams, 2 * PACKETS_MAX + 1);
    endpoint_free(endpoint);
    close(fd);
}
END_TEST

START_TEST(unix_away_back_and_full)
{
    char path[] = "/tmp/check_statsd.XXXXXX", address[64];
    unsigned outcomes[ENDPOINT_OUTCOMES], sent = 0;
    struct endpoint *endpoint;
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(path));
    strcat(strcpy(address, "unix:"), path);
    strcat(address, "/s");
    endpoint = endpoint_at(address, 0, SECOND_NS / 50);
    send_some(endpoint, 4, outcomes);
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(outcomes[ENDPOINT_REFUSED], 4);
    fd = unix_receiver(address + 5);
    send_some(endpoint, 4, outcomes);
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(outcomes[ENDPOINT_SENT], 4);
    ck_assert_uint_eq(received(fd), 4);
    /* A new receiver in the place of the old one: not a datagram is missing. */
    close(fd);
    fd = unix_receiver(address + 5);
    send_some(endpoint, 4, outcomes);
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(outcomes[ENDPOINT_SENT], 4);
    ck_assert_uint_eq(received(fd), 4);
    /* It does not read: each datagram is in its queue, or counted; one waits for the timeout, the rest of the cycle not at all. */
    do {
        send_some(endpoint, PACKETS_MAX, outcomes);
        sent += outcomes[ENDPOINT_SENT];
        ck_assert_uint_eq(outcomes[ENDPOINT_SENT] + outcomes[ENDPOINT_FULL], PACKETS_MAX);
    } while (!outcomes[ENDPOINT_FULL]);
    {
        int64_t began_ns = now_ns();

        for (int i = 0; i < 100; i++) {
            send_some(endpoint, PACKETS_MAX, outcomes);
            ck_assert_uint_eq(outcomes[ENDPOINT_FULL], PACKETS_MAX);
        }
        ck_assert_int_lt(now_ns() - began_ns, SECOND_NS);
    }
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(received(fd), sent);
    send_some(endpoint, 4, outcomes);
    ck_assert_uint_eq(outcomes[ENDPOINT_SENT], 4);
    endpoint_cycle(endpoint);
    /* Gone for good. */
    close(fd);
    unlink(address + 5);
    send_some(endpoint, 4, outcomes);
    ck_assert_uint_eq(outcomes[ENDPOINT_REFUSED], 4);
    endpoint_free(endpoint);
    rmdir(path);
}
END_TEST

START_TEST(pacing)
{
    uint16_t port = 0;
    int fd = udp_receiver(&port);
    unsigned outcomes[ENDPOINT_OUTCOMES], sent = 0;
    struct endpoint *endpoint;
    int64_t began_ns = now_ns();
    char address[64];

    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    endpoint = endpoint_at(address, 18880, 2 * SECOND_NS); /* 32 datagrams of 59 bytes in 0.1 s */
    for (int i = 0; i < 4; i++) {
        send_some(endpoint, PACKETS_MAX, outcomes);
        sent += outcomes[ENDPOINT_SENT];
    }
    ck_assert_uint_eq(sent, 4 * PACKETS_MAX);
    ck_assert_int_ge(now_ns() - began_ns, SECOND_NS * 3 / 10 - SECOND_NS / 1000);
    ck_assert_uint_eq(received(fd), sent);
    endpoint_free(endpoint);
    /* Not within the timeout. */
    endpoint = endpoint_at(address, 1888, SECOND_NS / 100);
    send_some(endpoint, PACKETS_MAX, outcomes);
    ck_assert_uint_eq(outcomes[ENDPOINT_SENT], PACKETS_MAX);
    send_some(endpoint, PACKETS_MAX, outcomes);
    ck_assert_uint_eq(outcomes[ENDPOINT_PACED], PACKETS_MAX);
    endpoint_free(endpoint);
    close(fd);
}
END_TEST

START_TEST(unresolved)
{
    unsigned outcomes[ENDPOINT_OUTCOMES];
    struct endpoint *endpoint = endpoint_at("no.such.name.invalid:8125", 0, 30 * SECOND_NS);

    send_some(endpoint, 3, outcomes);
    endpoint_cycle(endpoint);
    ck_assert_uint_eq(outcomes[ENDPOINT_UNRESOLVED], 3);
    ck_assert_uint_eq(figures.lookups, 1);
    ck_assert_uint_eq(logged, 1);
    ck_assert_ptr_nonnull(strstr(last_log, "no.such.name.invalid"));
    endpoint_free(endpoint);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("statsd");
    TCase *lines = tcase_create("lines"), *sockets = tcase_create("sockets");
    SRunner *runner;
    int failed;

    tcase_add_test(lines, names);
    tcase_add_test(lines, names_refused);
    tcase_add_test(lines, names_chosen);
    tcase_add_test(lines, deltas_of_integers);
    tcase_add_test(lines, deltas_of_doubles);
    tcase_add_test(lines, deltas_of_both);
    tcase_add_test(lines, numbers);
    tcase_add_test(lines, packing);
    tcase_add_test(lines, series);
    tcase_set_timeout(lines, 60);
    suite_add_tcase(suite, lines);
    tcase_add_test(sockets, addresses);
    tcase_add_test(sockets, udp_away_and_back);
    tcase_add_test(sockets, unix_away_back_and_full);
    tcase_add_test(sockets, pacing);
    tcase_add_test(sockets, unresolved);
    tcase_set_timeout(sockets, 60);
    suite_add_tcase(suite, sockets);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
