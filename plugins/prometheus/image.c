/* image.c - compressed text in parts; image.h says why they can be joined. */
#include "image.h"

#include "render.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define CHUNK_TEXT (256u * 1024u) /* about; a family with more is a chunk of its own */
#define TEXT_ROOM (64u * 1024u)

struct chunk {
    uint32_t first, count; /* of the model's sorted families */
    uint64_t version;      /* of the model when `part` was made; 0: never */
    struct image_part *part;
};
struct image_maker {
    enum format format;
    z_stream deflater;
    bool deflater_made;
    int level;
    struct chunk *chunks;
    size_t nchunks;
    uint32_t nfamilies;    /* that the chunks were made for */
    char *text;
    size_t text_room, text_length;
    unsigned char *out;    /* grows to the largest part */
    size_t out_room;

    pthread_mutex_t lock;  /* over image and making, and the users of images and parts */
    struct image *image;
    bool making;
    pthread_cond_t made;
};

static const unsigned char gzip_head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
static const unsigned char last_block[2] = {3, 0}; /* an empty block with fixed codes, marked as the last */
#define TAIL (sizeof(last_block) + 8)

struct image_maker *image_maker_new(enum format format, int level)
{
    struct image_maker *maker = calloc(1, sizeof(*maker));
    pthread_condattr_t monotonic;

    if (!maker)
        return NULL;
    maker->format = format;
    maker->level = level;
    pthread_mutex_init(&maker->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&maker->made, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return maker;
}

void image_maker_level(struct image_maker *maker, int level)
{
    if (maker->deflater_made && level != maker->level) {
        deflateEnd(&maker->deflater);
        maker->deflater_made = false;
    }
    maker->level = level;
}

/* Under the lock. */
static void part_leave(struct image_part *part)
{
    if (part && --part->users == 0)
        free(part);
}

static void image_leave(struct image *image)
{
    if (!image || --image->users)
        return;
    for (size_t i = 0; i < image->nparts; i++)
        part_leave(image->parts[i]);
    free(image);
}

static void chunks_free(struct image_maker *maker)
{
    for (size_t i = 0; i < maker->nchunks; i++)
        part_leave(maker->chunks[i].part);
    free(maker->chunks);
    maker->chunks = NULL;
    maker->nchunks = 0;
    maker->nfamilies = 0;
}

void image_drop(struct image_maker *maker)
{
    pthread_mutex_lock(&maker->lock);
    image_leave(maker->image);
    maker->image = NULL;
    chunks_free(maker);
    pthread_mutex_unlock(&maker->lock);
    if (maker->deflater_made)
        deflateEnd(&maker->deflater);
    maker->deflater_made = false;
    free(maker->out);
    free(maker->text);
    maker->out = NULL;
    maker->text = NULL;
    maker->out_room = maker->text_room = 0;
}

void image_maker_free(struct image_maker *maker)
{
    if (!maker)
        return;
    image_drop(maker);
    pthread_mutex_destroy(&maker->lock);
    pthread_cond_destroy(&maker->made);
    free(maker);
}

/* ---- Making a part -------------------------------------------------------------------------------------------------------------- */

struct making {
    struct image_maker *maker;
    size_t text_length, length;
    uint32_t crc;
    bool failed;
};

/* Compresses what is in the text buffer. */
static void deflate_text(struct making *making, int flush)
{
    struct image_maker *maker = making->maker;
    z_stream *z = &maker->deflater;

    z->next_in = (unsigned char *)maker->text;
    z->avail_in = (unsigned)maker->text_length;
    making->crc = (uint32_t)crc32(making->crc, (unsigned char *)maker->text, (unsigned)maker->text_length);
    making->text_length += maker->text_length;
    maker->text_length = 0;
    do {
        if (maker->out_room - making->length < 8192) {
            size_t room = maker->out_room + maker->out_room / 2 + 65536;
            unsigned char *larger = realloc(maker->out, room);

            if (!larger) {
                making->failed = true;
                return;
            }
            maker->out = larger;
            maker->out_room = room;
        }
        z->next_out = maker->out + making->length;
        z->avail_out = (unsigned)(maker->out_room - making->length);
        if (deflate(z, flush) == Z_STREAM_ERROR) {
            making->failed = true;
            return;
        }
        making->length = (size_t)(z->next_out - maker->out);
    } while (z->avail_out == 0 || z->avail_in);
}

/* A place for `need` bytes of text. */
static char *text_place(struct making *making, size_t need)
{
    struct image_maker *maker = making->maker;

    if (maker->text_room - maker->text_length < need && maker->text_length)
        deflate_text(making, Z_NO_FLUSH);
    if (maker->text_room < need) {
        size_t room = need > TEXT_ROOM ? need : TEXT_ROOM;
        char *larger = realloc(maker->text, room);

        if (!larger) {
            making->failed = true;
            return NULL;
        }
        maker->text = larger;
        maker->text_room = room;
    }
    return maker->text + maker->text_length;
}

static void family_text(struct making *making, const struct model *model, const struct model_family *family)
{
    size_t name_length = strlen(family->name);
    char *at;

    if (!family->live)
        return;
    at = text_place(making, render_head_size(family));
    if (!at)
        return;
    making->maker->text_length += render_head(at, family, making->maker->format);
    for (uint32_t i = 0; i < family->count && !making->failed; i++) {
        struct model_line line;

        if (!model_live(model, family->slots[i], &line))
            continue;
        if (family->in_parts || line.labels & MODEL_LINE_EXEMPLAR) {
            const struct label_text *exemplar = line.labels & MODEL_LINE_EXEMPLAR ? model->exemplars[family->slots[i]] : NULL;

            at = text_place(making, render_any_size(family, &line, exemplar));
            if (at)
                making->maker->text_length += render_any(at, family, making->maker->format, &line, exemplar);
            continue;
        }
        at = text_place(making, render_line_size(name_length, model_line_labels(&line)));
        if (at)
            making->maker->text_length += render_line(at, family->name, name_length, &line);
    }
}

/* families NULL: the end of an OpenMetrics text. */
static struct image_part *part_make(struct image_maker *maker, const struct model *model,
                                    struct model_family *const *families, uint32_t count)
{
    struct making making = {.maker = maker, .crc = (uint32_t)crc32(0, NULL, 0)};
    struct image_part *part;
    char *at;

    if (!maker->deflater_made && deflateInit2(&maker->deflater, maker->level, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    maker->deflater_made = true;
    (void)deflateReset(&maker->deflater);
    for (uint32_t i = 0; families && i < count && !making.failed; i++)
        family_text(&making, model, families[i]);
    if (!families && (at = text_place(&making, sizeof(RENDER_EOF))) != NULL) {
        memcpy(at, RENDER_EOF, sizeof(RENDER_EOF) - 1);
        maker->text_length = sizeof(RENDER_EOF) - 1;
    }
    if (!making.failed)
        deflate_text(&making, Z_FULL_FLUSH);
    maker->text_length = 0;
    part = making.failed ? NULL : malloc(sizeof(*part) + making.length);
    if (!part)
        return NULL;
    *part = (struct image_part){.users = 1, .crc = making.crc, .text_length = making.text_length, .length = making.length};
    memcpy(part->bytes, maker->out, making.length);
    return part;
}

/* ---- Images --------------------------------------------------------------------------------------------------------------------- */

static size_t family_estimate(const struct model_family *family)
{
    return family->label_bytes + family->series * (strlen(family->name) + 8ul) + 200;
}

/* True if there are other families than the chunks were made for, or some have grown far beyond a chunk. */
static bool chunks_stale(const struct image_maker *maker, const struct model *model)
{
    bool stale = maker->nfamilies != model->nfamilies;

    for (size_t c = 0; c < maker->nchunks && !stale; c++) {
        const struct chunk *chunk = &maker->chunks[c];
        size_t text = 0;

        for (uint32_t i = 0; i < chunk->count; i++)
            text += family_estimate(model->sorted[chunk->first + i]);
        stale = chunk->count > 1 && text > 4 * CHUNK_TEXT;
    }
    return stale;
}

/* Puts the families into chunks; the last chunk, without families, is the end of the text. */
static bool chunks_make(struct image_maker *maker, const struct model *model)
{
    struct chunk *chunks = calloc(model->nfamilies + 1ul, sizeof(*chunks));
    size_t n = 0, text = 0;

    if (!chunks)
        return false;
    for (uint32_t i = 0; i < model->nfamilies; i++) {
        size_t more = family_estimate(model->sorted[i]);

        if (!n || text + more > CHUNK_TEXT) {
            chunks[n++].first = i;
            text = 0;
        }
        chunks[n - 1].count++;
        text += more;
    }
    if (maker->format == FORMAT_OPENMETRICS)
        chunks[n++].first = model->nfamilies;
    pthread_mutex_lock(&maker->lock);
    chunks_free(maker);
    pthread_mutex_unlock(&maker->lock);
    maker->chunks = chunks;
    maker->nchunks = n;
    maker->nfamilies = model->nfamilies;
    return true;
}

static int chunk_update(struct image_maker *maker, const struct model *model, struct chunk *chunk)
{
    struct image_part *part;
    bool changed = chunk->version == 0;

    for (uint32_t i = 0; i < chunk->count; i++)
        changed |= model->sorted[chunk->first + i]->changed > chunk->version;
    if (!changed)
        return WEIR_OK;
    part = part_make(maker, model, chunk->count ? &model->sorted[chunk->first] : NULL, chunk->count);
    if (!part)
        return WEIR_ENOMEM;
    pthread_mutex_lock(&maker->lock);
    part_leave(chunk->part);
    pthread_mutex_unlock(&maker->lock);
    chunk->part = part;
    chunk->version = model->version;
    return WEIR_OK;
}

static int update(struct image_maker *maker, const struct model *model)
{
    struct image *image;

    if (chunks_stale(maker, model) && !chunks_make(maker, model))
        return WEIR_ENOMEM;
    for (size_t i = 0; i < maker->nchunks; i++)
        if (chunk_update(maker, model, &maker->chunks[i]) < 0)
            return WEIR_ENOMEM;
    image = malloc(sizeof(*image) + maker->nchunks * sizeof(image->parts[0]));
    if (!image)
        return WEIR_ENOMEM;
    *image = (struct image){.users = 1, .version = model->version, .crc = (uint32_t)crc32(0, NULL, 0),
                            .length = sizeof(gzip_head) + TAIL, .nparts = maker->nchunks};
    pthread_mutex_lock(&maker->lock);
    for (size_t i = 0; i < maker->nchunks; i++) {
        struct image_part *part = maker->chunks[i].part;

        part->users++;
        image->parts[i] = part;
        image->crc = (uint32_t)crc32_combine(image->crc, part->crc, (long)part->text_length);
        image->text_length += part->text_length;
        image->length += part->length;
    }
    image_leave(maker->image);
    maker->image = image;
    pthread_mutex_unlock(&maker->lock);
    return WEIR_OK;
}

int image_update(struct image_maker *maker, const struct model *model)
{
    int status;

    if (maker->image && maker->image->version == model->version)
        return WEIR_OK;
    pthread_mutex_lock(&maker->lock);
    maker->making = true;
    pthread_mutex_unlock(&maker->lock);
    status = update(maker, model);
    pthread_mutex_lock(&maker->lock);
    maker->making = false;
    pthread_cond_broadcast(&maker->made);
    pthread_mutex_unlock(&maker->lock);
    return status;
}

struct image *image_get(struct image_maker *maker, uint64_t version, int64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};
    struct image *image = NULL;

    pthread_mutex_lock(&maker->lock);
    while (maker->making && pthread_cond_timedwait(&maker->made, &maker->lock, &until) == 0)
        continue;
    if (maker->image && maker->image->version == version) {
        image = maker->image;
        image->users++;
    }
    pthread_mutex_unlock(&maker->lock);
    return image;
}

void image_put(struct image_maker *maker, struct image *image)
{
    pthread_mutex_lock(&maker->lock);
    image_leave(image);
    pthread_mutex_unlock(&maker->lock);
}

/* Copies what of a piece at `start` lies in [position, position + size). */
static void overlap(const unsigned char *piece, size_t length, size_t start, size_t position, char *out, size_t size)
{
    size_t from = position > start ? position : start, end = start + length < position + size ? start + length : position + size;

    if (from < end)
        memcpy(out + (from - position), piece + (from - start), end - from);
}

size_t image_read(const struct image *image, size_t position, char *out, size_t size)
{
    unsigned char tail[TAIL];
    size_t start = sizeof(gzip_head);

    if (position >= image->length)
        return 0;
    if (size > image->length - position)
        size = image->length - position;
    overlap(gzip_head, sizeof(gzip_head), 0, position, out, size);
    for (size_t i = 0; i < image->nparts && start < position + size; i++) {
        overlap(image->parts[i]->bytes, image->parts[i]->length, start, position, out, size);
        start += image->parts[i]->length;
    }
    memcpy(tail, last_block, sizeof(last_block));
    for (unsigned i = 0; i < 4; i++) {
        tail[sizeof(last_block) + i] = (unsigned char)(image->crc >> 8 * i);
        tail[sizeof(last_block) + 4 + i] = (unsigned char)(image->text_length >> 8 * i);
    }
    overlap(tail, TAIL, image->length - TAIL, position, out, size);
    return size;
}
