/* sender.c - the loop around a flight; sender.h is the contract. */
#include "sender.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define FLIGHT_BYTES (8u << 20) /* of records in memory */
#define IDLE_NS INT64_C(3600000000000)
#define TEXT_SIZE 4096u

/* ---- Figures and texts --------------------------------------------------------------------------------------------------- */

int64_t sender_now_ns(const struct sender *sender)
{
    return sender->options.now_ns();
}

int64_t sender_wall_ms(const struct sender *sender)
{
    return sender->options.wall_ns() / 1000000;
}

void sender_tell(const struct sender *sender, bool bad, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sender->options.tell(sender->options.context, bad, text);
}

uint32_t sender_noise(struct sender *sender)
{
    sender->noise = sender->noise * 1664525u + 1013904223u;
    return sender->noise >> 8;
}

void sender_memory_wait(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

void sender_figures(const struct sender *sender, struct sender_figures *figures)
{
    const int64_t now = sender_now_ns(sender);

    *figures = sender->figures;
    figures->backoff_seconds = sender->next_ns > now ? (double)(sender->next_ns - now) / 1e9 : 0;
}

/* ---- Flights ------------------------------------------------------------------------------------------------------------- */

static int64_t newest_ms(const struct queue_flight *flight)
{
    return flight->records[flight->count - 1].time_ms;
}

bool sender_is_stopping(struct sender *sender, int64_t *until_ns)
{
    bool stopping;

    pthread_mutex_lock(&sender->lock);
    stopping = sender->stopping;
    *until_ns = sender->stop_ns;
    pthread_mutex_unlock(&sender->lock);
    return stopping;
}

bool sender_is_hopeless(struct sender *sender)
{
    int64_t until_ns;

    return sender_is_stopping(sender, &until_ns) && (sender->figures.failing || sender_now_ns(sender) >= until_ns);
}

bool sender_is_too_old(const struct sender *sender)
{
    return sender_wall_ms(sender) - newest_ms(&sender->flight) > sender->options.max_age_ms;
}

bool sender_failed(struct sender *sender)
{
    if (sender->figures.failing)
        return false;
    pthread_mutex_lock(&sender->lock);
    sender->figures.failing = true;
    sender->figures.failing_ns = sender_now_ns(sender);
    pthread_mutex_unlock(&sender->lock);
    return true;
}

void sender_succeeded(struct sender *sender)
{
    if (!sender->figures.failing)
        return;
    pthread_mutex_lock(&sender->lock);
    sender->figures.failing = false;
    pthread_mutex_unlock(&sender->lock);
    sender_tell(sender, false, "sends to %s again, after %.0f s", sender->receiver,
                (double)(sender_now_ns(sender) - sender->figures.failing_ns) / 1e9);
}

void sender_acked(struct sender *sender)
{
    pthread_mutex_lock(&sender->lock);
    sender->figures.acked_ms = newest_ms(&sender->flight);
    pthread_mutex_unlock(&sender->lock);
}

static void *sender_main(void *context)
{
    struct sender *sender = context;
    const struct sender_options *options = &sender->options;

    for (;;) {
        const uint64_t full = sender->carrier->flight_samples(sender->state);
        int64_t until_ns;
        const bool stopping = sender_is_stopping(sender, &until_ns);
        int status;

        if (!stopping && !queue_wait(options->queue, full, options->deadline_ms, sender_now_ns(sender) + IDLE_NS))
            continue;
        if (stopping && sender_now_ns(sender) >= until_ns)
            break;
        status = queue_take(options->queue, full, FLIGHT_BYTES, &sender->flight);
        if (status < 0)
            sender_memory_wait();
        else if (status == 0 ? stopping : !sender->carrier->fly(sender->state))
            break;
    }
    return NULL;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

void sender_init(struct sender *sender, const struct sender_options *options, const char *receiver,
                 const struct sender_carrier *carrier, void *state)
{
    *sender = (struct sender){.options = *options, .receiver = receiver, .carrier = carrier, .state = state,
                              .noise = (uint32_t)options->now_ns()};
    pthread_mutex_init(&sender->lock, NULL);
}

void sender_clear(struct sender *sender)
{
    queue_flight_free(&sender->flight);
    pthread_mutex_destroy(&sender->lock);
}

int sender_start(struct sender *sender)
{
    return pthread_create(&sender->thread, NULL, sender_main, sender) == 0 ? 0 : -1;
}

void sender_stop(struct sender *sender)
{
    pthread_mutex_lock(&sender->lock);
    sender->stopping = true;
    sender->stop_ns = sender_now_ns(sender) + SENDER_DRAIN_NS;
    pthread_mutex_unlock(&sender->lock);
    queue_wake(sender->options.queue);
    sender->carrier->wake(sender->state);
    pthread_join(sender->thread, NULL);
}
