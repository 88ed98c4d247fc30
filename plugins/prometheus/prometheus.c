/* prometheus.c - answers scrapes: Prometheus text 0.0.4 and OpenMetrics 1.0, plain and gzip.
 *
 * The sink's thread keeps the model (model.h) and, while somebody asks for compressed text, the image of it (image.h).
 * Scrapes run on the listener's threads: a compressed one gets the image, a plain one renders a shared snapshot piece by piece
 * into the listener's buffer.  Neither holds up the sink, however slowly it is read.
 */
#include "image.h"
#include "model.h"
#include "render.h"
#include "weir_http.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SECOND_NS INT64_C(1000000000)
#define ASKED_NS (150 * SECOND_NS)     /* images are made for so long after the last one asked */
#define IMAGE_WAIT_NS (2 * SECOND_NS)
#define STEP_TEXT (32u * 1024u)

struct prometheus_config {
    struct weir_binding *http;
    const char *path;
    bool compression;
    int64_t compression_level;
};
static const struct weir_option options[] = {
    {.name = "http", .type = WEIR_SERVICE, .dflt = "http", .service = WEIR_HTTP_SERVICE, .service_version = WEIR_HTTP_VERSION,
     .offset = offsetof(struct prometheus_config, http), .help = "The listener that answers."},
    {.name = "path", .type = WEIR_STRING, .dflt = "/metrics", .min = 1, .max = 200,
     .offset = offsetof(struct prometheus_config, path), .help = "Where Prometheus scrapes."},
    {.name = "compression", .type = WEIR_BOOL, .dflt = "true", .flags = WEIR_RELOADABLE, .offset = offsetof(struct prometheus_config, compression),
     .help = "Whether gzip is used for those who accept it."},
    {.name = "compression_level", .type = WEIR_INT, .dflt = "1", .flags = WEIR_RELOADABLE, .min = 1, .max = 9,
     .offset = offsetof(struct prometheus_config, compression_level), .help = "zlib's level: 1 is fastest, 9 smallest."},
    {.name = NULL}};

struct prometheus {
    struct weir_self *self;
    const struct prometheus_config *config;
    _Atomic bool compression; /* of the config, for the listener's threads */
    _Atomic int level;
    struct model model;
    struct image_maker *makers[FORMATS];
    _Atomic int64_t asked_ns[FORMATS]; /* when compressed text was last asked for; 0: never */
    const struct weir_http *http;
    bool routed;
};

static const struct weir_host *host;

/* ---- Bodies -------------------------------------------------------------------------------------------------------------------------- */

/* A body on its way to one scraper. */
struct body {
    struct prometheus *prometheus;
    struct model_snapshot *snapshot;
    struct render render;
    /* Compressed on the way, for the first who asks: */
    bool deflating, deflated;
    z_stream deflater;
    char *text;
    /* Or from an image: */
    struct image *image;
    struct image_maker *maker;
    size_t position;
};

static ssize_t plain_read(void *context, char *buffer, size_t size)
{
    struct body *body = context;

    return render_next(&body->render, buffer, size);
}

static ssize_t deflated_read(void *context, char *buffer, size_t size)
{
    struct body *body = context;
    z_stream *z = &body->deflater;

    z->next_out = (unsigned char *)buffer;
    z->avail_out = (unsigned)size;
    while (z->avail_out == size && !body->deflated) {
        int status;

        if (!z->avail_in) {
            ssize_t got = render_next(&body->render, body->text, STEP_TEXT);

            if (got < 0)
                return got;
            z->next_in = (unsigned char *)body->text;
            z->avail_in = (unsigned)got;
        }
        status = deflate(z, z->avail_in ? Z_NO_FLUSH : Z_FINISH);
        if (status == Z_STREAM_ERROR)
            return -1;
        body->deflated = status == Z_STREAM_END;
    }
    return (ssize_t)(size - z->avail_out);
}

static ssize_t image_body_read(void *context, char *buffer, size_t size)
{
    struct body *body = context;
    size_t got = image_read(body->image, body->position, buffer, size);

    body->position += got;
    return (ssize_t)got;
}

static void body_free(void *context)
{
    struct body *body = context;

    render_end(&body->render);
    if (body->deflating)
        deflateEnd(&body->deflater);
    free(body->text);
    if (body->snapshot)
        model_snapshot_put(&body->prometheus->model, body->snapshot);
    if (body->image)
        image_put(body->maker, body->image);
    free(body);
}

/* ---- A scrape ------------------------------------------------------------------------------------------------------------------------- */

static int respond_text(struct prometheus *prometheus, struct weir_http_request *request, unsigned status, const char *text)
{
    return prometheus->http->respond(request, status, "text/plain; charset=utf-8", text, strlen(text), NULL);
}

static struct image *image_for(struct prometheus *prometheus, enum format format)
{
    uint64_t version;

    pthread_mutex_lock(&prometheus->model.lock);
    version = prometheus->model.version;
    pthread_mutex_unlock(&prometheus->model.lock);
    return image_get(prometheus->makers[format], version, host->now_ns() + IMAGE_WAIT_NS);
}

static int scrape(void *context, struct weir_http_request *request)
{
    static const struct weir_http_header gzip_headers[] = {{"Content-Encoding", "gzip"}, {"Vary", "Accept, Accept-Encoding"}, {NULL, NULL}};
    static const struct weir_http_header plain_headers[] = {{"Vary", "Accept, Accept-Encoding"}, {NULL, NULL}};
    struct prometheus *prometheus = context;
    const struct weir_http *http = prometheus->http;
    const char *instance = http->query(request, "instance");
    enum format format = negotiate_format(http->header(request, "Accept"));
    bool gzip = atomic_load(&prometheus->compression) && negotiate_gzip(http->header(request, "Accept-Encoding"));
    uint32_t source = instance ? model_source_find(&prometheus->model, instance) : 0;
    struct weir_http_stream stream = {.read = plain_read, .free = body_free, .length = -1};
    struct body *body;

    if (instance && !source)
        return respond_text(prometheus, request, 404, "there is no such instance, or it has published nothing yet\n");
    body = calloc(1, sizeof(*body));
    if (!body)
        return respond_text(prometheus, request, 503, "no memory\n");
    body->prometheus = prometheus;
    stream.context = body;
    if (gzip && !source) {
        atomic_store(&prometheus->asked_ns[format], host->now_ns());
        body->maker = prometheus->makers[format];
        body->image = image_for(prometheus, format);
        if (body->image) {
            stream.read = image_body_read;
            stream.length = (int64_t)body->image->length;
            return http->stream(request, 200, negotiate_content_types[format], &stream, gzip_headers);
        }
    }
    body->snapshot = model_snapshot_get(&prometheus->model, source);
    if (body->snapshot && gzip) {
        body->text = malloc(STEP_TEXT);
        body->deflating = body->text && deflateInit2(&body->deflater, atomic_load(&prometheus->level), Z_DEFLATED,
                                                     15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK;
        stream.read = deflated_read;
    }
    if (!body->snapshot || (gzip && !body->deflating)) {
        body_free(body);
        return respond_text(prometheus, request, 503, "no memory, or too many slow scrapes\n");
    }
    body->render = (struct render){.snapshot = body->snapshot, .format = format};
    return http->stream(request, 200, negotiate_content_types[format], &stream, gzip ? gzip_headers : plain_headers);
}

/* ---- The sink -------------------------------------------------------------------------------------------------------------------------- */

static int consume(void *state, const struct weir_batch *batch)
{
    struct prometheus *prometheus = state;

    return model_consume(&prometheus->model, batch);
}

/* All that was committed is in the model: time to make the images that are asked for. */
static int flush(void *state, int64_t deadline_ns)
{
    struct prometheus *prometheus = state;
    int status = WEIR_OK;
    bool asked = false;

    (void)deadline_ns;
    for (enum format format = 0; format < FORMATS; format++) {
        int64_t asked_ns = atomic_load(&prometheus->asked_ns[format]);

        if (!asked_ns)
            continue;
        if (host->now_ns() - asked_ns < ASKED_NS) {
            asked = true;
            if (model_list(&prometheus->model) < 0 || image_update(prometheus->makers[format], &prometheus->model) < 0)
                status = host->fail(prometheus->self, WEIR_ENOMEM, "no memory for the compressed text");
        } else {
            image_drop(prometheus->makers[format]);
            atomic_store(&prometheus->asked_ns[format], 0);
        }
    }
    if (!asked)
        model_unlist(&prometheus->model);
    return status;
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------------------- */

static int check(struct weir_self *self, const void *given)
{
    const struct prometheus_config *config = given;

    if (config->path[0] != '/' || strpbrk(config->path, "?# "))
        return host->fail(self, WEIR_ECONFIG, "path: \"%s\" is not a path, such as \"/metrics\"", config->path);
    return WEIR_OK;
}

static int create(struct weir_self *self, const void *config, void **state)
{
    struct prometheus *prometheus = calloc(1, sizeof(*prometheus));
    int status;

    if (!prometheus)
        return WEIR_ENOMEM;
    *state = prometheus;
    prometheus->self = self;
    prometheus->config = config;
    atomic_store(&prometheus->compression, prometheus->config->compression);
    atomic_store(&prometheus->level, (int)prometheus->config->compression_level);
    status = model_init(&prometheus->model, host, self);
    for (enum format format = 0; format < FORMATS && status == WEIR_OK; format++) {
        prometheus->makers[format] = image_maker_new(format, (int)prometheus->config->compression_level);
        if (!prometheus->makers[format])
            status = WEIR_ENOMEM;
    }
    return status;
}

static int reconfigure(void *state, const void *given)
{
    struct prometheus *prometheus = state;

    prometheus->config = given;
    atomic_store(&prometheus->compression, prometheus->config->compression);
    atomic_store(&prometheus->level, (int)prometheus->config->compression_level);
    for (enum format format = 0; format < FORMATS; format++)
        image_maker_level(prometheus->makers[format], (int)prometheus->config->compression_level);
    return WEIR_OK;
}

static int visit_current(void *context, const struct weir_batch *batch)
{
    return model_consume(context, batch);
}

static int route_add(struct prometheus *prometheus)
{
    const struct weir_http_route route = {.size = sizeof(route), .path = prometheus->config->path, .method = "GET",
                                          .summary = "all metrics, for Prometheus", .handle = scrape, .context = prometheus};
    const void *table;
    void *provider;
    int status = host->service_enter(prometheus->self, prometheus->config->http, &table, &provider);
    if (status < 0)
        return host->fail(prometheus->self, status, "the HTTP listener is not there");
    prometheus->http = table;
    status = prometheus->http->route_add(provider, prometheus->self, &route);
    prometheus->routed = status == WEIR_OK;
    host->service_leave(prometheus->self, prometheus->config->http);
    return status;
}

static int start(void *state)
{
    struct prometheus *prometheus = state;
    int status = host->current(prometheus->self, visit_current, &prometheus->model);

    return status < 0 ? status : route_add(prometheus);
}

/* A new listener knows nothing of us. */
static int provider_changed(void *state, const struct weir_binding *binding)
{
    (void)binding;
    return route_add(state);
}

static int stop(void *state)
{
    struct prometheus *prometheus = state;
    const void *table;
    void *provider;

    if (prometheus->routed && host->service_enter(prometheus->self, prometheus->config->http, &table, &provider) == WEIR_OK) {
        prometheus->http->route_remove(provider, prometheus->self);
        host->service_leave(prometheus->self, prometheus->config->http);
    }
    prometheus->routed = false;
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct prometheus *prometheus = state;

    for (enum format format = 0; format < FORMATS; format++)
        image_maker_free(prometheus->makers[format]);
    model_free(&prometheus->model);
    free(prometheus);
}

/* ---- The service prometheus.text --------------------------------------------------------------------------------------------------- */

static int text_render(void *provider, struct weir_self *self, int (*write)(void *context, const char *text, size_t length),
                       void *context)
{
    struct model model;
    struct render render = {.format = FORMAT_TEXT};
    struct model_snapshot *snapshot = NULL;
    char *text = malloc(STEP_TEXT);
    int status = text ? model_init(&model, host, self) : WEIR_ENOMEM;
    ssize_t length;

    (void)provider;
    if (status < 0) {
        free(text);
        return status;
    }
    status = host->current(self, visit_current, &model);
    snapshot = status < 0 ? NULL : model_snapshot_get(&model, 0);
    if (status == WEIR_OK && !snapshot)
        status = WEIR_ENOMEM;
    render.snapshot = snapshot;
    while (status >= 0 && (length = render_next(&render, text, STEP_TEXT)) != 0)
        status = length < 0 ? WEIR_ENOMEM : write(context, text, (size_t)length);
    render_end(&render);
    if (snapshot)
        model_snapshot_put(&model, snapshot);
    model_free(&model);
    free(text);
    return status < 0 ? status : WEIR_OK;
}

static const struct weir_text text_table = {.size = sizeof(text_table), .version = WEIR_TEXT_VERSION, .render = text_render};
static const struct weir_service services[] = {{.name = WEIR_TEXT_SERVICE, .version = WEIR_TEXT_VERSION, .table = &text_table},
                                               {.name = NULL}};
static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SINK | WEIR_PROVIDER,
    .flags = WEIR_SINGLE,
    .name = "prometheus",
    .version = WEIR_VERSION,
    .summary = "answers Prometheus' scrapes",
    .options = options,
    .option_stride = sizeof(options[0]),
    .services = services,
    .service_stride = sizeof(services[0]),
    .config_size = sizeof(struct prometheus_config),
    .check = check,
    .create = create,
    .start = start,
    .reconfigure = reconfigure,
    .consume = consume,
    .flush = flush,
    .stop = stop,
    .destroy = destroy,
    .provider_changed = provider_changed,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table_of_host)
{
    host = table_of_host;
    return &plugin;
}
