/* leak.c - makes another series with each pass, and never gives one back. */
#include "small.h"

#include <stdio.h>

static int create(struct weir_self *self, const void *config, void **state)
{
    (void)config;
    return small_create(self, "test_leak", state);
}

static int collect(void *given, const struct weir_pass *pass)
{
    struct small *small = given;
    struct weir_label label = {"number", NULL};
    char number[24];

    snprintf(number, sizeof(number), "%llu", (unsigned long long)pass->number);
    label.value = number;
    (void)small_series(small->self, small->group, "test_leak", WEIR_GAUGE, &label, &small->series);
    return small_publish(small->self, small->series, 1);
}

static const struct weir_plugin plugin = {SMALL_HEAD("leak"), .roles = WEIR_SOURCE, .create = create, .collect = collect,
                                          .destroy = free};
SMALL_ENTRY(plugin)
