/* counter.h - what of a cumulative counter has not been sent yet.
 *
 * The first value is the baseline: what was counted before is nobody's.  A value below the last one means that counting began
 * again at 0.  A delta that could not be sent is given back, and is in the next one; so only what the network loses is lost.
 * Integers are exact.  Of doubles, millionths are sent and the rest stays for the next delta, so that nothing adds up.
 */
#ifndef STATSD_COUNTER_H
#define STATSD_COUNTER_H

#include <weir_plugin.h>

#include <stdbool.h>

union counter_value {
    uint64_t u64;
    double f64;
};
struct counter {
    union counter_value last, sent; /* sent: the value up to which deltas have been taken; modulo 2^64 */
    bool known, integer;            /* integer: u64, until a double comes */
};
struct counter_delta {
    union counter_value value;
    bool integer;
};
enum counter_result { COUNTER_DELTA, COUNTER_BASELINE, COUNTER_UNCHANGED, COUNTER_INVALID /* below 0, NaN or infinite */ };

enum counter_result counter_take(struct counter *counter, const struct weir_sample *sample, struct counter_delta *delta);
void counter_give_back(struct counter *counter, const struct counter_delta *delta);

#endif
