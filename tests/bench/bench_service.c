/* bench_service.c - what going in and out of a service adds to a call through a plain function pointer, on one core. */
#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CALLS 20000000u
#define TURNS 5

struct table {
    uint64_t (*add)(void *provider, uint64_t value);
};

static double now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

static uint64_t add(void *provider, uint64_t value)
{
    uint64_t *sum = provider;

    return *sum += value;
}

int main(void)
{
    static const struct table table = {.add = add};
    const struct table *volatile plain = &table;
    double direct[TURNS], through[TURNS];
    struct service_port port;
    uint64_t sum = 0;

    service_port_init(&port, "bench", 1);
    service_open(&port, &table, &sum);
    for (int turn = 0; turn < TURNS; turn++) {
        double began = now_ns();

        for (unsigned i = 0; i < CALLS; i++)
            (void)plain->add(&sum, i);
        direct[turn] = (now_ns() - began) / CALLS;
        began = now_ns();
        for (unsigned i = 0; i < CALLS; i++) {
            const void *entered;
            void *provider;

            if (service_enter(&port, 0, &entered, &provider) < 0)
                return 1;
            (void)((const struct table *)entered)->add(provider, i);
            service_leave(&port);
        }
        through[turn] = (now_ns() - began) / CALLS;
    }
    qsort(direct, TURNS, sizeof(double), compare);
    qsort(through, TURNS, sizeof(double), compare);
    printf("service call: %.1f ns through enter and leave, %.1f ns through a function pointer, difference %.1f ns (goal 20 ns) %s\n",
           through[TURNS / 2], direct[TURNS / 2], through[TURNS / 2] - direct[TURNS / 2],
           through[TURNS / 2] - direct[TURNS / 2] <= 20 ? "met" : "MISSED");
    service_port_destroy(&port);
    return sum == 0;
}
