/* counter.c - deltas; counter.h says what they are. */
#include "counter.h"

#include <math.h>

#define MILLIONTHS_BELOW 9e9 /* a double has no millionths above */

static void make_double(struct counter *counter)
{
    double last = (double)counter->last.u64;

    counter->sent.f64 = last - (double)(counter->last.u64 - counter->sent.u64);
    counter->last.f64 = last;
    counter->integer = false;
}

static enum counter_result take_integer(struct counter *counter, uint64_t value, struct counter_delta *delta)
{
    if (value < counter->last.u64)
        counter->sent.u64 -= counter->last.u64; /* what is still to be sent of the time before comes on top */
    counter->last.u64 = value;
    *delta = (struct counter_delta){.value.u64 = value - counter->sent.u64, .integer = true};
    counter->sent.u64 = value;
    return delta->value.u64 ? COUNTER_DELTA : COUNTER_UNCHANGED;
}

static enum counter_result take_double(struct counter *counter, double value, struct counter_delta *delta)
{
    double difference;

    if (value < counter->last.f64)
        counter->sent.f64 -= counter->last.f64;
    counter->last.f64 = value;
    if (value < MILLIONTHS_BELOW) {
        double millionths = nearbyint(value * 1e6); /* whole numbers, and exact, as is their difference */

        difference = (millionths - nearbyint(counter->sent.f64 * 1e6)) / 1e6;
        value = millionths / 1e6;
    } else {
        difference = value - counter->sent.f64;
    }
    if (difference <= 0)
        return COUNTER_UNCHANGED;
    counter->sent.f64 = value;
    if (!isfinite(difference)) /* the largest there is, and more was owed */
        return COUNTER_INVALID;
    *delta = (struct counter_delta){.value.f64 = difference};
    return COUNTER_DELTA;
}

enum counter_result counter_take(struct counter *counter, const struct weir_sample *sample, struct counter_delta *delta)
{
    const bool integer = weir_sample_flags(sample) & WEIR_S_U64;
    const double value = weir_sample_f64(sample);

    if (!isfinite(value) || value < 0)
        return COUNTER_INVALID;
    if (!counter->known) {
        counter->known = true;
        counter->integer = integer;
        if (integer)
            counter->last.u64 = sample->bits;
        else
            counter->last.f64 = value;
        counter->sent = counter->last;
        return COUNTER_BASELINE;
    }
    if (counter->integer && !integer)
        make_double(counter);
    return counter->integer ? take_integer(counter, sample->bits, delta) : take_double(counter, value, delta);
}

void counter_give_back(struct counter *counter, const struct counter_delta *delta)
{
    if (counter->integer)
        counter->sent.u64 -= delta->value.u64;
    else
        counter->sent.f64 -= delta->integer ? (double)delta->value.u64 : delta->value.f64;
}
