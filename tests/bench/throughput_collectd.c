/* throughput_collectd.c - the same source and sink for collectd 5.12, in one plugin. */
#include "throughput.h"

#include <collectd.h>
#include <plugin.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static _Atomic unsigned delivered;
static bool published;

static long long now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int throughput_read(void)
{
    value_t value = {.gauge = 0};
    value_list_t list = VALUE_LIST_INIT;
    cdtime_t begin = cdtime();
    long long times[ROUNDS + 1];
    char line[32 * (ROUNDS + 1)] = "";
    int n = 0;

    if (published)
        return 0;
    published = true;
    list.values = &value;
    list.values_len = 1;
    strcpy(list.host, "localhost");
    strcpy(list.plugin, "throughput");
    strcpy(list.type, "gauge");
    for (unsigned i = 0;; i++) {
        if (i % VALUES == 0) {
            while (atomic_load(&delivered) < i)
                sched_yield();
            times[i / VALUES] = now_ns();
            if (i == ROUNDS * VALUES)
                break;
        }
        snprintf(list.type_instance, sizeof(list.type_instance), "%u", i % SERIES);
        list.time = begin + MS_TO_CDTIME_T(1) * (1 + i / SERIES); /* it refuses a series' value that is not newer */
        value.gauge = i;
        plugin_dispatch_values(&list);
    }
    for (unsigned i = 0; i <= ROUNDS; i++)
        n += snprintf(line + n, sizeof(line) - (size_t)n, " %lld", times[i]);
    plugin_log(LOG_NOTICE, "rounds at%s ns", line);
    return 0;
}

static int throughput_write(const data_set_t *set, const value_list_t *list, user_data_t *data)
{
    (void)set;
    (void)data;
    if (strcmp(list->plugin, "throughput") == 0)
        atomic_fetch_add(&delivered, 1);
    return 0;
}

void module_register(void)
{
    plugin_register_read("throughput", throughput_read);
    plugin_register_write("throughput", throughput_write, NULL);
}
