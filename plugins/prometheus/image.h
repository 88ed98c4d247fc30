/* image.h - the whole text compressed (gzip, RFC 1952), kept in parts and made anew only where it changed.
 *
 * Families are put together into chunks; each is deflated by itself, ending on a byte boundary, so that the parts can be joined:
 * deflate blocks one after the other, and their checksums by crc32_combine.  A chunk in which no line changed keeps its
 * bytes.  An image is a list of such parts; scrapes that still send an old one share its unchanged parts with the new.
 *
 * Threads: image_update on the sink's own, between passes; the others on any.
 */
#ifndef PROMETHEUS_IMAGE_H
#define PROMETHEUS_IMAGE_H

#include "model.h"
#include "negotiate.h"

#include <sys/types.h>

struct image_part { /* one chunk's compressed bytes */
    unsigned users; /* under the maker's lock */
    uint32_t crc;
    size_t text_length, length;
    unsigned char bytes[];
};
struct image {
    unsigned users;
    uint64_t version; /* of the model */
    uint32_t crc;
    size_t text_length, length; /* length: of the whole gzip member */
    size_t nparts;
    struct image_part *parts[];
};
struct image_maker; /* of one format */

struct image_maker *image_maker_new(enum format format, int level);
/* On the maker's thread: another level for what is compressed from now on. */
void image_maker_level(struct image_maker *maker, int level);
void image_maker_free(struct image_maker *maker);

/* Brings the image up to the version of the model, whose families are listed; WEIR_ENOMEM leaves the old one. */
int image_update(struct image_maker *maker, const struct model *model);
/* Lets go of the image, when nobody asks for it any more. */
void image_drop(struct image_maker *maker);

/* The image if it is of this version, to be put back; or NULL.  Waits for one that is just being made. */
struct image *image_get(struct image_maker *maker, uint64_t version, int64_t deadline_ns);
void image_put(struct image_maker *maker, struct image *image);
/* Copies up to size bytes from this position of the gzip member; 0 at its end. */
size_t image_read(const struct image *image, size_t position, char *out, size_t size);

#endif
