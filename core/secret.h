/* secret.h - passwords and tokens: where each is, and reading it afresh.
 *
 * A literal or environment value is kept in memory that is wiped when freed; a file-backed one is only a path, read at
 * every use, so that a rotated secret is picked up.  A file must be owned by root or the collector's user and give others no
 * access.  Nothing prints a secret; two can be compared.
 * Threads: immutable; any.
 */
#ifndef WEIR_SECRET_H
#define WEIR_SECRET_H

#include "weir_plugin.h"

#include <stdbool.h>

#define SECRET_BYTES_MAX 4096u

struct weir_secret *secret_from_text(const char *text);
struct weir_secret *secret_from_file(const char *path);
void secret_free(struct weir_secret *secret);
bool secret_equal(const struct weir_secret *a, const struct weir_secret *b);

/* Copies the text, NUL-terminated, without one trailing newline; returns its length, or a negative status and why.  The
 * caller wipes the buffer. */
int secret_read(const struct weir_secret *secret, char *buffer, size_t size, char *why, size_t why_size);
/* WEIR_OK, or why the file cannot be used (missing, not a regular file, access for others, too large). */
int secret_check(const struct weir_secret *secret, char *why, size_t why_size);

#endif
