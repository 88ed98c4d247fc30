/* assertions.h - Check's own, without the note it makes of each that holds: a system call, and loops here have millions. */
#ifndef WEIR_TEST_ASSERTIONS_H
#define WEIR_TEST_ASSERTIONS_H

#include <check.h>

/* What all of Check's ck_assert_* come down to. */
#undef ck_assert_msg
#define ck_assert_msg(expr, ...) \
    ((expr) ? (void)0 : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed", ##__VA_ARGS__))

#endif
