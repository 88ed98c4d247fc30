/* number.h - numbers as text: integers exact, doubles in the shortest form that reads back as the same double. */
#ifndef PROMETHEUS_NUMBER_H
#define PROMETHEUS_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define NUMBER_MAX 32u /* most bytes of any number */

/* Both return how many bytes the number has; there is no NUL, and up to NUMBER_MAX bytes may be written. */
size_t number_u64(char *out, uint64_t value);
size_t number_f64(char *out, double value);

#endif
