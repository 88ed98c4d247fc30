/* file.h - files of /proc and /sys, opened once and read again from their beginning; one buffer takes them all.
 *
 * Only procfs and sysfs make a new text for each reading of an open file; a recorded tree's files are opened each time,
 * so that one which was replaced is seen.  After a failure a file is opened anew.
 * Threads: one.
 */
#ifndef SYSTEM_FILE_H
#define SYSTEM_FILE_H

#include "parse.h"

struct buffer {
    char *bytes;
    size_t size; /* at most BUFFER_MAX */
};
#define BUFFER_MAX ((size_t)16 << 20) /* 5,000 interfaces take 0.6 MB, 10,000 mounts some 2 MB */

struct file {
    char *path;
    int fd;     /* -1: not open */
    bool whole; /* one reading gives all of it: no second one is needed to see the end */
};

/* Names DIRECTORY/NAME, and opens nothing; false without memory. */
bool file_init(struct file *file, const char *directory, const char *name);
void file_free(struct file *file);
/* Reads all of the file into the buffer; the text is good until the buffer is used again.  Returns 0 or an errno. */
int file_read(struct file *file, struct buffer *buffer, struct text *text);
/* The same for a file that is read once. */
int file_read_once(const char *path, struct buffer *buffer, struct text *text);
/* Whether a list of mounts has changed since this was asked last; true for what cannot say so.  It says so to each open file
 * once: so ask, and then read. */
bool file_changed(const struct file *file);
void file_close(struct file *file);

#endif
