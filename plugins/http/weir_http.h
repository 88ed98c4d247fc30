/* weir_http.h - the service "http", version 1: routes on the one listener.
 *
 * For plugins that answer HTTP requests.  The table comes from host->service_enter; `http` is the provider it returns.
 * Handlers run on the listener's threads, several at once, between route_add and the return of route_remove.
 * A handler answers exactly once, with `respond` or `stream`, before it returns; the request ends with the handler.
 */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include <weir_plugin.h>

#include <sys/types.h>

#define WEIR_HTTP_SERVICE "http"
#define WEIR_HTTP_VERSION 1u

struct weir_http_request; /* one request, owned by the service */

struct weir_http_header {
    const char *name, *value;
};

/* A body made while it is sent.  The service calls read until it returns 0 (end) or below 0 (the connection is closed,
 * so that a broken body never looks whole), then free exactly once, also when the client went away.  The calls may come
 * from another thread than the handler's, but never two at a time. */
struct weir_http_stream {
    ssize_t (*read)(void *context, char *buffer, size_t size); /* bytes written, at most size; must not block */
    void (*free)(void *context);
    void *context;
    int64_t length; /* of the whole body, or -1 when not known: chunked */
};

struct weir_http_route {
    uint32_t size, flags;
    const char *path;    /* exact: "/metrics" */
    const char *method;  /* "GET" (serves HEAD as well) or "POST"; other methods on the path get 405 with Allow */
    const char *summary; /* one line for the page at "/" */
    /* WEIR_OK, or below: answered with 500 unless the handler has answered. */
    int (*handle)(void *context, struct weir_http_request *request);
    void *context;
};

struct weir_http {
    uint32_t size, version;

    /* Takes a route for `user`; copied.  WEIR_EINVAL if path and method are taken, both users are named. */
    int (*route_add)(void *http, struct weir_self *user, const struct weir_http_route *route);
    /* Gives back all routes of `user` and waits for the handlers (and streams) inside. */
    void (*route_remove)(void *http, struct weir_self *user);

    /* Of the request; the text lives as long as the request.  NULL when absent. */
    const char *(*header)(const struct weir_http_request *request, const char *name);
    const char *(*query)(const struct weir_http_request *request, const char *name); /* first of that name, decoded */
    const char *(*user)(const struct weir_http_request *request); /* who logged in */
    const char *(*body)(const struct weir_http_request *request, size_t *length);

    /* Answers with a body that is copied.  headers ends at name == NULL or is NULL. */
    int (*respond)(struct weir_http_request *request, unsigned status, const char *content_type, const void *body,
                   size_t length, const struct weir_http_header *headers);
    /* Answers with a body made while it is sent; stream is copied and its `free` is called in every case. */
    int (*stream)(struct weir_http_request *request, unsigned status, const char *content_type,
                  const struct weir_http_stream *stream, const struct weir_http_header *headers);
};

#endif
