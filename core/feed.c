/* feed.c - reading all lanes for one sink; feed.h says in which order. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_SAMPLES 1024u /* 32 kB: stays in the first-level cache between the copy and the sink's work */

int feeds_open(struct feeds *feeds, struct series_registry *registry, const struct feed_source *sources, size_t count,
               struct ring_wake *wake)
{
    *feeds = (struct feeds){.registry = registry};
    feeds->samples = malloc(BATCH_SAMPLES * sizeof(*feeds->samples));
    /* The size of a struct with alignment 128 is a multiple of it. */
    feeds->feeds = aligned_alloc(alignof(struct feed), (count ? count : 1) * sizeof(*feeds->feeds));
    if (!feeds->samples || !feeds->feeds) {
        feeds_close(feeds);
        return WEIR_ENOMEM;
    }
    memset(feeds->feeds, 0, count * sizeof(*feeds->feeds));
    for (size_t i = 0; i < count; i++) {
        feeds->feeds[i].source = &sources[i];
        ring_cursor_attach(&feeds->feeds[i].cursor, sources[i].lane, wake);
    }
    feeds->count = count;
    return WEIR_OK;
}

void feeds_close(struct feeds *feeds)
{
    for (size_t i = 0; i < feeds->count; i++)
        ring_cursor_detach(&feeds->feeds[i].cursor);
    free(feeds->feeds);
    free(feeds->samples);
    *feeds = (struct feeds){0};
}

static int source_current(struct series_registry *registry, const struct feed_source *source,
                          int (*visit)(void *context, const struct weir_batch *batch), void *context)
{
    struct weir_sample *samples = NULL;
    size_t room = 0;
    int status = WEIR_OK;

    for (struct series_group *group = atomic_load_explicit(source->groups, memory_order_acquire);
         group && status == WEIR_OK; group = atomic_load_explicit(&group->sibling, memory_order_acquire)) {
        struct weir_batch batch = {.size = sizeof(batch), .flags = WEIR_B_SNAPSHOT, .source = source->id,
                                   .source_name = source->name};
        int one = series_snapshot(registry, group, &samples, &room, &batch.nsamples);

        batch.samples = samples;
        if (one == WEIR_OK)
            status = visit(context, &batch);
        else if (one != WEIR_EAGAIN)
            status = one;
    }
    free(samples);
    return status;
}

int feeds_current(struct series_registry *registry, const struct feed_source *sources, size_t count,
                  int (*visit)(void *context, const struct weir_batch *batch), void *context)
{
    int status = WEIR_OK;

    for (size_t i = 0; i < count && status == WEIR_OK; i++)
        status = source_current(registry, &sources[i], visit, context);
    return status;
}

struct consumer {
    feed_consume *consume;
    void *context;
};

static int consume_snapshot(void *context, const struct weir_batch *batch)
{
    const struct consumer *consumer = context;

    consumer->consume(consumer->context, batch);
    return WEIR_OK;
}

static bool feed_run(struct feeds *feeds, struct feed *feed, const struct consumer *consumer)
{
    uint64_t lost;
    struct weir_batch batch = {.size = sizeof(batch), .source = feed->source->id, .source_name = feed->source->name};
    size_t count = ring_read(&feed->cursor, feeds->samples, BATCH_SAMPLES, &lost);

    if (!count && !lost)
        return false;
    if (lost) {
        batch.flags = WEIR_B_GAP;
        batch.lost = lost;
        consumer->consume(consumer->context, &batch);
        batch.flags = 0;
        batch.lost = 0;
        /* A group that could not be read now, for want of memory, is told by its next pass. */
        (void)source_current(feeds->registry, feed->source, consume_snapshot, (void *)(uintptr_t)consumer);
    }
    if (count) {
        batch.samples = feeds->samples;
        batch.nsamples = count;
        consumer->consume(consumer->context, &batch);
    }
    ring_advance(&feed->cursor);
    return true;
}

bool feeds_run(struct feeds *feeds, feed_consume *consume, void *context)
{
    const struct consumer consumer = {.consume = consume, .context = context};
    bool any = false;

    for (size_t i = 0; i < feeds->count; i++)
        any |= feed_run(feeds, &feeds->feeds[i], &consumer);
    return any;
}
