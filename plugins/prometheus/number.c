/* number.c - numbers as text.
 *
 * Most doubles in practice are whole, or decimals of at most six places (PostgreSQL's timestamps and milliseconds); these
 * are printed as integers.  The proof that this is shortest: if a decimal d of at most 15 digits reads back as v, then v times
 * 10^6 lies within half of d times 10^6, so that the integer found is d's own, trailing zeros cut.  The others
 * are tried with 15, 16 and 17 digits, which is always enough.
 */
#include "number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

#define DIGITS_MAX 20u /* of 2^64 */

size_t number_u64(char *out, uint64_t value)
{
    char text[2 * DIGITS_MAX]; /* digits end in the middle, so that a copy of fixed length takes them all */
    size_t at = DIGITS_MAX;

    if (value < 10) {
        *out = (char)('0' + value);
        return 1;
    }
    while (value >= 100) {
        at -= 2;
        memcpy(text + at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(text + at, pairs + value * 2, 2);
    } else {
        text[--at] = (char)('0' + value);
    }
    memcpy(out, text + at, DIGITS_MAX);
    return DIGITS_MAX - at;
}

size_t number_f64(char *out, double value)
{
    const double magnitude = fabs(value);
    char *begin = out;
    int length, digits;

    if (isnan(value)) {
        memcpy(out, "NaN", 3);
        return 3;
    }
    if (isinf(value)) {
        memcpy(out, value > 0 ? "+Inf" : "-Inf", 4);
        return 4;
    }
    if (magnitude < 9e9) {
        double scaled = magnitude * 1e6;
        uint64_t millionths = (uint64_t)(scaled + 0.5);

        if ((double)millionths / 1e6 == magnitude && (millionths || !signbit(value))) {
            uint64_t part = millionths % 1000000;

            if (signbit(value))
                *out++ = '-';
            out += number_u64(out, millionths / 1000000);
            if (part) {
                size_t digits = 6;

                *out++ = '.';
                for (; part % 10 == 0; part /= 10)
                    digits--;
                for (size_t i = digits; i-- > 0; part /= 10)
                    out[i] = (char)('0' + part % 10);
                out += digits;
            }
            return (size_t)(out - begin);
        }
    } else if (magnitude < 9007199254740992.0 && magnitude == floor(magnitude)) {
        if (signbit(value))
            *out++ = '-';
        out += number_u64(out, (uint64_t)magnitude);
        return (size_t)(out - begin);
    }
    /* Numbers this small have fewer digits to lose. */
    digits = magnitude < DBL_MIN ? 1 : 15;
    do
        length = snprintf(out, NUMBER_MAX, "%.*g", digits, value);
    while (strtod(out, NULL) != value && digits++ < 17);
    return (size_t)length;
}
