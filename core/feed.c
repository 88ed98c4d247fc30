/* feed.c - reading all lanes for one sink; feed.h says in which order. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

void feed_sources_add(struct feed_sources *sources, struct feed_source *source)
{
    if (sources->last)
        atomic_store_explicit(&sources->last->next, source, memory_order_release);
    else
        atomic_store_explicit(&sources->first, source, memory_order_release);
    sources->last = source;
}

int feeds_add(struct feeds *feeds, const struct feed_source *source, struct ring_wake *wake)
{
    /* The size of a struct with alignment 128 is a multiple of it. */
    struct feed *feed = aligned_alloc(alignof(struct feed), sizeof(*feed));

    if (!feed)
        return WEIR_ENOMEM;
    memset(feed, 0, sizeof(*feed));
    feed->source = source;
    ring_cursor_attach(&feed->cursor, source->lane, wake);
    if (feeds->last)
        atomic_store_explicit(&feeds->last->next, feed, memory_order_release);
    else
        atomic_store_explicit(&feeds->first, feed, memory_order_release);
    feeds->last = feed;
    return WEIR_OK;
}

void feeds_close(struct feeds *feeds)
{
    struct feed *feed = atomic_load_explicit(&feeds->first, memory_order_acquire), *next;

    for (; feed; feed = next) {
        next = atomic_load_explicit(&feed->next, memory_order_acquire);
        ring_cursor_detach(&feed->cursor);
        free(feed);
    }
    atomic_store_explicit(&feeds->first, NULL, memory_order_release);
    feeds->last = NULL;
}

bool feed_is_over(const struct feed *feed)
{
    return atomic_load_explicit(&feed->source->vacant, memory_order_relaxed) && ring_pending(&feed->cursor) == 0;
}

void feeds_again(struct feeds *feeds)
{
    for (struct feed *feed = atomic_load_explicit(&feeds->first, memory_order_acquire); feed;
         feed = atomic_load_explicit(&feed->next, memory_order_acquire))
        ring_again(&feed->cursor);
}

static int source_current(struct series_registry *registry, const struct feed_source *source,
                          int (*visit)(void *context, const struct weir_batch *batch), void *context)
{
    struct weir_sample *samples = NULL;
    size_t room = 0;
    int status = WEIR_OK;

    for (struct series_group *group = atomic_load_explicit(&source->groups->first, memory_order_acquire);
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

int feeds_current(struct series_registry *registry, const struct feed_sources *sources,
                  int (*visit)(void *context, const struct weir_batch *batch), void *context)
{
    int status = WEIR_OK;

    for (const struct feed_source *source = atomic_load_explicit(&sources->first, memory_order_acquire);
         source && status == WEIR_OK; source = atomic_load_explicit(&source->next, memory_order_acquire))
        status = source_current(registry, source, visit, context);
    return status;
}

struct consumer {
    feed_consume *consume;
    void *context;
};

static int consume_snapshot(void *context, const struct weir_batch *batch)
{
    const struct consumer *consumer = context;

    return consumer->consume(consumer->context, batch) ? WEIR_OK : WEIR_EINTR;
}

/* Reads what fits into a batch; exemplars stay with the value before them, so that the last one of a full batch waits. */
static size_t batch_read(struct feed *feed, struct weir_sample *samples, uint64_t *lost)
{
    const size_t count = ring_read(&feed->cursor, samples, FEED_BATCH, lost);
    size_t whole = count;

    if (count < FEED_BATCH)
        return count;
    while (whole && weir_sample_flags(&samples[whole - 1]) & WEIR_S_EXEMPLAR)
        whole--;
    if (whole && !(weir_sample_flags(&samples[whole - 1]) & WEIR_S_MARK))
        whole--;
    if (!whole) /* more exemplars than a batch has room for */
        return count;
    ring_unread(&feed->cursor, count - whole);
    return whole;
}

/* What a feed has to tell: 1 if it had something; below 0 if the sink is to be left alone, and the feed with it. */
static int feed_run(struct feed *feed, struct series_registry *registry, struct weir_sample *samples,
                     const struct consumer *consumer)
{
    uint64_t lost;
    struct weir_batch batch = {.size = sizeof(batch), .source = feed->source->id, .source_name = feed->source->name};
    size_t count = batch_read(feed, samples, &lost);

    if (!count && !lost)
        return 0;
    if (lost) {
        batch.flags = WEIR_B_GAP;
        batch.lost = lost;
        if (!consumer->consume(consumer->context, &batch))
            return WEIR_EINTR;
        batch.flags = 0;
        batch.lost = 0;
        /* A group that could not be read now, for want of memory, is told by its next pass. */
        if (source_current(registry, feed->source, consume_snapshot, (void *)(uintptr_t)consumer) == WEIR_EINTR)
            return WEIR_EINTR;
    }
    batch.samples = samples;
    batch.nsamples = count;
    if (!consumer->consume(consumer->context, &batch))
        return WEIR_EINTR;
    ring_advance(&feed->cursor);
    return 1;
}

bool feeds_run(struct feeds *feeds, struct series_registry *registry, struct weir_sample *samples, feed_consume *consume,
               void *context)
{
    const struct consumer consumer = {.consume = consume, .context = context};
    bool any = false;

    for (struct feed *feed = atomic_load_explicit(&feeds->first, memory_order_acquire); feed;
         feed = atomic_load_explicit(&feed->next, memory_order_acquire)) {
        int one = feed_run(feed, registry, samples, &consumer);

        if (one < 0)
            return false;
        any |= one > 0;
    }
    return any;
}
