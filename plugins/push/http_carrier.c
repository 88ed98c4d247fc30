/* http_carrier.c - parts and requests over one libcurl multi handle; http_carrier.h is the contract.
 *
 * Read from the bottom.  A part is encoded window by window: what fits into a request.  Its body is kept until it is settled, so
 * that every attempt sends the same bytes.
 */
#include "http_carrier.h"

#include "crc32c.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_BYTES (4u << 20) /* of a request, before it is compressed */
#define CONNECT_MS 10000
#define LOOK_MS 1000          /* how often credentials are looked at while they are refused */
#define SECRET_MAX 8192u

enum state { PART_DONE, PART_WAITING, PART_FLYING };

struct part { /* of a flight, and the easy handle that it uses */
    struct http_carrier *carrier;
    CURL *easy;
    struct curl_slist *headers;
    uint32_t number;
    enum state state;
    unsigned format;        /* of the body */
    uint64_t first;         /* samples of the part that are settled */
    uint8_t *body;
    size_t length, room;
    uint64_t samples;       /* of the window that the body holds */
    bool more;
    uint64_t max_samples;
    unsigned attempts;
    int64_t not_before_ns;
    bool held;
    uint32_t credentials;   /* checksum of those that were refused */
    struct answer answer;
    char error[CURL_ERROR_SIZE];
    uint64_t outcomes[QUEUE_OUTCOMES];
};

struct http_carrier {
    struct sender sender;
    struct http_carrier_options options;
    struct parts *plan;
    CURLM *multi;
    struct part *parts;
    unsigned format;         /* that bodies have now */
    bool settled;            /* it will not change by the next answer */
    uint64_t max_samples;    /* of a request; less than the option's once the receiver found that too large */
    bool hold_told;          /* in this outage */
    int64_t look_ns;
    struct http_carrier_figures figures; /* under the sender's lock */
};

static void format_ask(struct http_carrier *carrier)
{
    carrier->format = carrier->options.protocol->format(carrier->options.state, &carrier->settled);
}

/* ---- Credentials --------------------------------------------------------------------------------------------------------- */

/* One secret more into the checksum; false: it could not be read. */
static bool secret_sum(const struct http_carrier *carrier, int which, uint32_t *sum)
{
    char secret[SECRET_MAX];
    int length = carrier->options.secret(carrier->options.secret_context, which, secret, sizeof(secret));

    if (length >= 0)
        *sum = crc32c(*sum, secret, (size_t)length);
    explicit_bzero(secret, sizeof(secret));
    return length >= 0;
}

static uint32_t credentials_sum(const struct http_carrier *carrier)
{
    uint32_t sum = 0;

    if (carrier->options.username)
        secret_sum(carrier, HTTP_PASSWORD, &sum);
    if (carrier->options.has_bearer)
        secret_sum(carrier, HTTP_BEARER, &sum);
    for (size_t i = 0; i < carrier->options.nheaders; i++)
        secret_sum(carrier, carrier->options.headers[i].secret, &sum);
    return sum;
}

static bool header_add(struct part *part, const char *line)
{
    struct curl_slist *longer = curl_slist_append(part->headers, line);

    if (longer)
        part->headers = longer;
    return longer != NULL;
}

/* NAME: SECRET, or with a word in between. */
static bool header_add_secret(struct part *part, const char *name, const char *word, int which)
{
    char line[SECRET_MAX + 256];
    int begin = snprintf(line, sizeof(line), "%s: %s", name, word);
    int length = part->carrier->options.secret(part->carrier->options.secret_context, which, line + begin, SECRET_MAX);
    /* A line's end within it would begin another header. */
    bool good = length >= 0 && !strpbrk(line + begin, "\r\n") && header_add(part, line);

    explicit_bzero(line, sizeof(line));
    return good;
}

static void headers_free(struct part *part)
{
    for (struct curl_slist *one = part->headers; one; one = one->next)
        explicit_bzero(one->data, strlen(one->data));
    curl_slist_free_all(part->headers);
    part->headers = NULL;
}

static bool headers_make(struct part *part)
{
    const struct http_carrier_options *options = &part->carrier->options;
    bool good = true;

    headers_free(part);
    for (const char *const *line = options->protocol->headers(part->format); good && *line; line++)
        good = header_add(part, *line);
    good = good && header_add(part, "Expect:") &&
           (!options->has_bearer || header_add_secret(part, "Authorization", "Bearer ", HTTP_BEARER));
    for (size_t i = 0; good && i < options->nheaders; i++)
        good = header_add_secret(part, options->headers[i].name, "", options->headers[i].secret);
    return good;
}

/* ---- Requests ------------------------------------------------------------------------------------------------------------ */

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct part *part = context;

    if (!answer_header(&part->answer, line, size * count, sender_wall_ms(&part->carrier->sender) / 1000))
        return 0;
    if (part->carrier->options.protocol->read_header)
        part->carrier->options.protocol->read_header(part->carrier->options.state, part->number, line, size * count);
    return size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct part *part = context;

    return answer_body(&part->answer, bytes, size * count) ? size * count : 0;
}

static bool easy_make(struct part *part)
{
    const struct http_carrier_options *options = &part->carrier->options;
    CURL *easy = curl_easy_init();

    part->easy = easy;
    if (!easy)
        return false;
    curl_easy_setopt(easy, CURLOPT_URL, options->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(options->timeout_ms < CONNECT_MS ? options->timeout_ms : CONNECT_MS));
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, part);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, part);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, part->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, part);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, options->verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, options->verify ? 2L : 0L);
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* a new authority counts from the next connection on */
    if (options->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
    if (options->cert_file)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, options->cert_file);
    if (options->key_file)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, options->key_file);
    if (options->proxy)
        curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy);
    return true;
}

/* Puts the window's request on its way; false: it could not be made. */
static bool part_launch(struct part *part)
{
    struct http_carrier *carrier = part->carrier;
    const struct http_carrier_options *options = &carrier->options;

    if ((!part->easy && !easy_make(part)) || !headers_make(part))
        return false;
    if (options->username) {
        char password[SECRET_MAX];
        int length = options->secret(options->secret_context, HTTP_PASSWORD, password, sizeof(password));

        if (length >= 0) {
            curl_easy_setopt(part->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
            curl_easy_setopt(part->easy, CURLOPT_USERNAME, options->username);
            curl_easy_setopt(part->easy, CURLOPT_PASSWORD, password);
        }
        explicit_bzero(password, sizeof(password));
        if (length < 0)
            return false;
    }
    answer_begin(&part->answer);
    part->error[0] = '\0';
    curl_easy_setopt(part->easy, CURLOPT_HTTPHEADER, part->headers);
    curl_easy_setopt(part->easy, CURLOPT_POSTFIELDS, (const char *)part->body);
    curl_easy_setopt(part->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)part->length);
    if (curl_multi_add_handle(carrier->multi, part->easy) != CURLM_OK)
        return false;
    part->state = PART_FLYING;
    pthread_mutex_lock(&carrier->sender.lock);
    carrier->sender.figures.bytes += part->length;
    if (part->attempts)
        carrier->sender.figures.retried_samples += part->samples;
    pthread_mutex_unlock(&carrier->sender.lock);
    part->attempts++;
    return true;
}

/* Makes the next window's body: 1; 0: there is none; below 0: no memory. */
static int part_encode(struct part *part)
{
    struct http_carrier *carrier = part->carrier;
    const struct parts_window window = {.parts = carrier->plan, .part = part->number, .first = part->first,
                                        .max_samples = part->max_samples, .max_bytes = BODY_BYTES,
                                        .now_ms = sender_wall_ms(&carrier->sender)};
    struct parts_body out;

    if (carrier->options.protocol->encode(carrier->options.state, &carrier->sender.flight, &window, &out) < 0)
        return -1;
    part->format = carrier->format;
    part->samples = out.samples;
    part->more = out.more;
    part->attempts = 0;
    part->held = false;
    part->not_before_ns = 0;
    if (!out.samples)
        return 0;
    if (out.length > part->room || out.length < part->room / 4) {
        uint8_t *other = realloc(part->body, out.length);

        if (!other)
            return -1;
        part->body = other;
        part->room = out.length;
    }
    memcpy(part->body, out.bytes, out.length);
    part->length = out.length;
    return 1;
}

static void part_finish(struct part *part)
{
    part->state = PART_DONE;
    queue_arrive(part->carrier->sender.options.queue, &part->carrier->sender.flight, part->number, part->outcomes);
    memset(part->outcomes, 0, sizeof(part->outcomes));
}

static void part_wait(struct part *part, int64_t ms)
{
    part->state = PART_WAITING;
    part->not_before_ns = sender_now_ns(&part->carrier->sender) + ms * 1000000;
}

/* Goes on to the next window, or ends the part. */
static void part_next(struct part *part)
{
    int status = part_encode(part);

    if (status < 0) {
        part->samples = 0; /* and again, when there is memory */
        part_wait(part, BACKOFF_FIRST_MS);
    } else if (status == 0) {
        part_finish(part);
    } else {
        part->state = PART_WAITING;
    }
}

/* The window's samples have found their end. */
static void part_settle(struct part *part, enum queue_outcome taken, uint64_t samples, enum queue_outcome rest)
{
    part->outcomes[taken] += samples;
    part->outcomes[rest] += part->samples - samples;
    part->first += part->samples;
    part_next(part);
}

/* ---- Answers ------------------------------------------------------------------------------------------------------------- */

static void told_well(struct http_carrier *carrier)
{
    const int64_t now = sender_now_ns(&carrier->sender);

    pthread_mutex_lock(&carrier->sender.lock);
    carrier->figures.answer_ns = now;
    pthread_mutex_unlock(&carrier->sender.lock);
    carrier->hold_told = false;
    sender_succeeded(&carrier->sender);
}

/* The beginning of an outage, and that it has become one that somebody has to mend. */
static void told_failing(struct http_carrier *carrier, const struct part *part, bool hold)
{
    const char *receiver = carrier->sender.receiver;
    const char *what = hold ? "nothing is sent until a credential or the configuration changes; it is tried once a minute"
                            : "tried again until it works";
    char text[ANSWER_TEXT_SIZE];

    pthread_mutex_lock(&carrier->sender.lock);
    carrier->figures.status = part->answer.status;
    pthread_mutex_unlock(&carrier->sender.lock);
    if (!sender_failed(&carrier->sender) && (!hold || carrier->hold_told))
        return;
    carrier->hold_told = hold;
    answer_text(&part->answer, text);
    if (part->answer.status)
        sender_tell(&carrier->sender, true, "%s answered %d%s%s: %s", receiver, part->answer.status, *text ? ", " : "", text, what);
    else
        sender_tell(&carrier->sender, true, "could not send to %s: %s; %s", receiver, *part->error ? part->error : "no answer",
                    what);
}

static void count(struct http_carrier *carrier, const struct part *part, uint64_t written)
{
    /* one that is none counts as 4xx, and is final like these */
    int status = part->answer.status, hundreds = status / 100 > 5 ? 4 : status / 100;
    size_t class = hundreds < 2 ? HTTP_FAILED : (size_t)(HTTP_2XX + hundreds - 2);

    pthread_mutex_lock(&carrier->sender.lock);
    carrier->figures.requests[class]++;
    carrier->figures.written_samples += written;
    pthread_mutex_unlock(&carrier->sender.lock);
}

static void part_taken(struct part *part, uint64_t taken)
{
    struct http_carrier *carrier = part->carrier;
    char text[ANSWER_TEXT_SIZE];

    if (taken < part->samples) {
        answer_text(&part->answer, text);
        sender_tell(&carrier->sender, true, "%s took %llu of %llu samples of a request%s%s", carrier->sender.receiver,
                    (unsigned long long)taken, (unsigned long long)part->samples, *text ? ": " : "", text);
    }
    part_settle(part, QUEUE_SENT, taken, QUEUE_PARTIAL);
}

static void part_rejected(struct part *part, uint64_t taken)
{
    struct http_carrier *carrier = part->carrier;
    char text[ANSWER_TEXT_SIZE];

    answer_text(&part->answer, text);
    sender_tell(&carrier->sender, true, "%s answered %d%s%s: %llu samples are refused for good", carrier->sender.receiver,
                part->answer.status, *text ? ", " : "", text, (unsigned long long)(part->samples - taken));
    part_settle(part, QUEUE_SENT, taken, QUEUE_REJECTED);
}

/* In pieces of half the size from now on. */
static void part_split(struct part *part)
{
    struct http_carrier *carrier = part->carrier;

    if (part->samples == 1) {
        part_rejected(part, 0);
        return;
    }
    part->max_samples = (part->samples + 1) / 2;
    if (part->max_samples < carrier->max_samples && part->max_samples >= 100) {
        carrier->max_samples = part->max_samples;
        sender_tell(&carrier->sender, false, "%s finds requests of %llu samples too large: they have %llu from now on",
                    carrier->sender.receiver, (unsigned long long)part->samples, (unsigned long long)part->max_samples);
    }
    part_next(part);
}

static void part_again(struct part *part, bool hold)
{
    struct http_carrier *carrier = part->carrier;

    if (sender_is_too_old(&carrier->sender)) {
        part_settle(part, QUEUE_EXPIRED, part->samples, QUEUE_EXPIRED);
        return;
    }
    if (hold)
        part->credentials = credentials_sum(carrier);
    told_failing(carrier, part, hold);
    part->held = hold;
    part_wait(part, hold ? HOLD_MS : answer_backoff_ms(&part->answer, part->attempts, sender_noise(&carrier->sender)));
}

static void part_answered(struct part *part, CURLcode result)
{
    struct http_carrier *carrier = part->carrier;
    enum verdict verdict;
    uint64_t taken = 0;
    long status = 0;
    bool whole;

    curl_easy_getinfo(part->easy, CURLINFO_RESPONSE_CODE, &status);
    /* One with too long a body has said all that counts; otherwise half an answer is none. */
    whole = result == CURLE_OK || (result == CURLE_WRITE_ERROR && part->answer.body_bytes > ANSWER_BODY_MAX);
    part->answer.status = whole ? (int)status : 0;
    verdict = carrier->options.protocol->verdict(carrier->options.state, part->number, &part->answer, part->format, part->samples,
                                                 &taken);
    format_ask(carrier);
    if (verdict == VERDICT_HOLD && carrier->options.drop_unauthorized && status >= 400)
        verdict = VERDICT_REJECTED;
    if (taken > part->samples)
        taken = part->samples;
    count(carrier, part, verdict == VERDICT_DONE ? taken : 0);
    if (verdict != VERDICT_RETRY && verdict != VERDICT_HOLD)
        told_well(carrier);
    switch (verdict) {
    case VERDICT_DONE: part_taken(part, taken); break;
    case VERDICT_REJECTED: part_rejected(part, taken); break;
    case VERDICT_SPLIT: part_split(part); break;
    case VERDICT_REENCODE: part_next(part); break;
    case VERDICT_HOLD: part_again(part, true); break;
    default: part_again(part, false);
    }
}

/* ---- Flights ------------------------------------------------------------------------------------------------------------- */

/* While credentials are refused: whether there are others now. */
static void look_at_credentials(struct http_carrier *carrier, int64_t now)
{
    uint32_t sum;

    if (now < carrier->look_ns)
        return;
    carrier->look_ns = now + LOOK_MS * INT64_C(1000000);
    sum = credentials_sum(carrier);
    for (uint32_t i = 0; i < carrier->sender.flight.parts; i++) {
        struct part *part = &carrier->parts[i];

        if (part->state == PART_WAITING && part->held && part->credentials != sum)
            part->not_before_ns = 0;
    }
}

/* Launches what is due; the time of what there is to do next, INT64_MAX: nothing. */
static int64_t launch_due(struct http_carrier *carrier)
{
    int64_t now = sender_now_ns(&carrier->sender), next_ns = INT64_MAX;
    bool held = false;
    uint32_t flying = 0;

    for (uint32_t i = 0; i < carrier->sender.flight.parts; i++)
        held |= carrier->parts[i].state == PART_WAITING && carrier->parts[i].held;
    if (held)
        look_at_credentials(carrier, now);
    for (uint32_t i = 0; i < carrier->sender.flight.parts; i++) {
        struct part *part = &carrier->parts[i];

        if (part->state == PART_FLYING && !carrier->settled)
            break; /* what it is answered decides how the others are encoded */
        if (part->state != PART_WAITING)
            continue;
        if (part->not_before_ns <= now) {
            /* A body of a former format, or none for want of memory. */
            if (!part->samples || part->format != carrier->format)
                part_next(part);
            if (part->state == PART_WAITING && part->not_before_ns <= now && !part_launch(part))
                part_wait(part, BACKOFF_FIRST_MS);
        }
        if (part->state == PART_WAITING && part->not_before_ns < next_ns)
            next_ns = part->not_before_ns;
        if (!carrier->settled)
            break;
    }
    for (uint32_t i = 0; i < carrier->sender.flight.parts; i++)
        flying += carrier->parts[i].state == PART_FLYING;
    pthread_mutex_lock(&carrier->sender.lock);
    carrier->sender.next_ns = next_ns == INT64_MAX ? 0 : next_ns;
    carrier->figures.flying = flying;
    carrier->figures.held = held;
    carrier->figures.format = carrier->format;
    pthread_mutex_unlock(&carrier->sender.lock);
    return held && carrier->look_ns < next_ns ? carrier->look_ns : next_ns;
}

static void collect_answers(struct http_carrier *carrier)
{
    const CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(carrier->multi, &left)) != NULL) {
        CURLcode result = message->data.result;
        CURL *easy = message->easy_handle;
        char *part;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &part);
        curl_multi_remove_handle(carrier->multi, easy);
        part_answered((struct part *)(void *)part, result);
    }
}

/* Takes all requests back; what they did is not known, and a later life sends them again. */
static void flight_abandon(struct http_carrier *carrier)
{
    for (uint32_t i = 0; i < carrier->sender.flight.parts; i++)
        if (carrier->parts[i].state == PART_FLYING)
            curl_multi_remove_handle(carrier->multi, carrier->parts[i].easy);
}

static bool flight_over(const struct http_carrier *carrier)
{
    for (uint32_t i = 0; i < carrier->sender.flight.parts; i++)
        if (carrier->parts[i].state != PART_DONE)
            return false;
    return true;
}

/* So that every part is about a request: parts differ by chance. */
static uint64_t part_samples(const struct http_carrier *carrier)
{
    return carrier->max_samples - carrier->max_samples / 8;
}

static uint64_t flight_samples(const void *state)
{
    const struct http_carrier *carrier = state;

    return carrier->options.shards * part_samples(carrier);
}

static void depart(struct http_carrier *carrier)
{
    struct queue_flight *flight = &carrier->sender.flight;
    const uint64_t parts = (flight->samples + part_samples(carrier) - 1) / part_samples(carrier);

    /* One that returns keeps its parts, unless nobody had decided on them. */
    if (!flight->done && flight->parts <= 1)
        queue_depart(carrier->sender.options.queue, flight,
                     parts > carrier->options.shards ? carrier->options.shards : parts ? (uint32_t)parts : 1);
    while (parts_plan(carrier->plan, flight) < 0)
        sender_memory_wait();
    for (uint32_t i = 0; i < flight->parts; i++) {
        struct part *part = &carrier->parts[i];

        part->state = PART_DONE;
        part->number = i;
        part->first = 0;
        part->max_samples = carrier->max_samples;
        memset(part->outcomes, 0, sizeof(part->outcomes));
    }
    for (uint32_t i = 0; i < flight->parts; i++)
        if (!(flight->done >> i & 1))
            part_next(&carrier->parts[i]);
}

static bool fly(void *state)
{
    struct http_carrier *carrier = state;

    depart(carrier);
    for (;;) {
        int64_t next_ns, now, stop_ns;
        int running, wait_ms = 1000;

        next_ns = launch_due(carrier);
        curl_multi_perform(carrier->multi, &running);
        collect_answers(carrier);
        if (flight_over(carrier))
            break;
        if (sender_is_hopeless(&carrier->sender)) {
            flight_abandon(carrier);
            return false;
        }
        next_ns = launch_due(carrier);
        now = sender_now_ns(&carrier->sender);
        if (sender_is_stopping(&carrier->sender, &stop_ns) && stop_ns < next_ns)
            next_ns = stop_ns;
        if (next_ns < now + wait_ms * INT64_C(1000000))
            wait_ms = next_ns > now ? (int)((next_ns - now) / 1000000) + 1 : 0;
        curl_multi_poll(carrier->multi, NULL, 0, wait_ms, NULL);
    }
    sender_acked(&carrier->sender);
    pthread_mutex_lock(&carrier->sender.lock);
    carrier->figures.flying = 0;
    pthread_mutex_unlock(&carrier->sender.lock);
    return true;
}

static void wake(void *state)
{
    const struct http_carrier *carrier = state;

    curl_multi_wakeup(carrier->multi);
}

static const struct sender_carrier by_http = {.flight_samples = flight_samples, .fly = fly, .wake = wake};

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static void carrier_free(struct http_carrier *carrier)
{
    for (uint32_t i = 0; carrier->parts && i < QUEUE_PARTS_MAX; i++) {
        struct part *part = &carrier->parts[i];

        if (part->easy)
            curl_easy_cleanup(part->easy);
        headers_free(part);
        free(part->body);
    }
    if (carrier->multi)
        curl_multi_cleanup(carrier->multi);
    parts_free(carrier->plan);
    free(carrier->parts);
    sender_clear(&carrier->sender);
    free(carrier);
}

int http_carrier_start(struct http_carrier **out, const struct http_carrier_options *options)
{
    struct http_carrier *carrier = calloc(1, sizeof(*carrier));
    bool good;

    if (!carrier)
        return -1;
    carrier->options = *options;
    carrier->max_samples = options->max_samples;
    format_ask(carrier);
    carrier->figures.format = carrier->format;
    sender_init(&carrier->sender, &options->sender, options->url, &by_http, carrier);
    carrier->plan = parts_new();
    carrier->multi = curl_multi_init();
    /* As many as a former life can have had on their way. */
    carrier->parts = calloc(QUEUE_PARTS_MAX, sizeof(*carrier->parts));
    good = carrier->plan && carrier->multi && carrier->parts;
    for (uint32_t i = 0; good && i < QUEUE_PARTS_MAX; i++)
        carrier->parts[i].carrier = carrier;
    if (good) {
        curl_multi_setopt(carrier->multi, CURLMOPT_MAXCONNECTS, (long)options->shards);
        good = sender_start(&carrier->sender) == 0;
    }
    if (!good) {
        carrier_free(carrier);
        return -1;
    }
    *out = carrier;
    return 0;
}

void http_carrier_stop(struct http_carrier *carrier)
{
    sender_stop(&carrier->sender);
    carrier_free(carrier);
}

void http_carrier_figures(struct http_carrier *carrier, struct sender_figures *shared, struct http_carrier_figures *figures)
{
    pthread_mutex_lock(&carrier->sender.lock);
    sender_figures(&carrier->sender, shared);
    *figures = carrier->figures;
    pthread_mutex_unlock(&carrier->sender.lock);
}
