/* directory.h - the directory of a queue: whose it is, who has it open, and which files in it are the queue's.
 *
 * Nothing that is not the queue's is opened, changed or deleted: a directory is taken that says it is a queue, or is empty;
 * segments are regular files with a segment's name.
 * Threads: none of its own.
 */
#ifndef PUSH_DIRECTORY_H
#define PUSH_DIRECTORY_H

#include "segment.h"

#include <limits.h>

#define DIRECTORY_CHECKPOINT "checkpoint"
#define DIRECTORY_NEW ".new" /* behind the name of a segment that is being rewritten */

struct directory { /* descriptors; -1: not open */
    int fd, identity_fd, checkpoint_fd;
};
/* Makes the directory if need be, locks it and opens the checkpoint; below 0 with the reason. */
int directory_open(struct directory *directory, const char *path, char *why, size_t why_size);
/* Opens one that is there, to read: no lock, no checkpoint (-1) if there is none. */
int directory_look(struct directory *directory, const char *path, char *why, size_t why_size);
void directory_close(struct directory *directory);
/* Whether somebody has it open; from a descriptor of its identity. */
bool directory_is_locked(const struct directory *directory);

struct directory_listing {
    struct segment_name *names; /* of segments, in order; freed by the caller */
    size_t count;
    uint64_t foreign; /* files that are nothing of the queue's */
    char example[NAME_MAX + 1];
};
/* False: it cannot be read, or no memory; errno says why.  Leftovers of a rewrite are deleted if `clean`. */
bool directory_list(const struct directory *directory, bool clean, struct directory_listing *listing);

/* Opens a regular file; its size and time of change go out.  Below 0: errno; EINVAL: it is something else. */
int directory_file(const struct directory *directory, const char *name, int flags, uint64_t *size, int64_t *changed_ms);
/* All of it at a place, whatever interrupts; false: errno. */
bool directory_write(int fd, const void *bytes, size_t length, uint64_t offset);

#endif
