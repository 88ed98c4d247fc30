/* carrier.c - flights, parts and requests over one libcurl multi handle; carrier.h is the contract.
 *
 * Read from the bottom.  A part is encoded window by window: what fits into a request.  Its body is kept until it is settled, so
 * that every attempt sends the same bytes.
 */
#include "carrier.h"

#include "crc32c.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FLIGHT_BYTES (8u << 20) /* of records in memory */
#define BODY_BYTES (4u << 20)   /* of a request, before it is compressed */
#define CONNECT_MS 10000
#define LOOK_MS 1000            /* how often credentials are looked at while they are refused */
#define SECRET_MAX 8192u
#define TELL_MAX 1024u
#define IDLE_NS INT64_C(3600000000000)

enum state { PART_DONE, PART_WAITING, PART_FLYING };

struct part { /* of a flight, and the easy handle that it uses */
    struct carrier *carrier;
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

struct carrier {
    struct carrier_options options;
    struct queue *queue;
    struct parts *plan;
    CURLM *multi;
    struct part *parts;
    struct queue_flight flight;
    int64_t flight_newest_ms;
    unsigned format;         /* that bodies have now */
    bool settled;            /* it will not change by the next answer */
    uint64_t max_samples;    /* of a request; less than the option's once the receiver found that too large */
    uint32_t noise;
    int64_t look_ns;
    pthread_t thread;
    pthread_mutex_t lock;    /* over what follows */
    bool stopping;
    int64_t stop_ns;
    struct carrier_figures figures; /* `failing`, as told, is its thread's alone to change */
    int64_t next_ns;         /* when the next attempt begins */
};

static void tell(const struct carrier *carrier, bool bad, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void tell(const struct carrier *carrier, bool bad, const char *format, ...)
{
    char text[ANSWER_TEXT_SIZE + TELL_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    carrier->options.tell(carrier->options.context, bad, text);
}

static int64_t now_ns(const struct carrier *carrier)
{
    return carrier->options.now_ns();
}

static int64_t wall_ms(const struct carrier *carrier)
{
    return carrier->options.wall_ns() / 1000000;
}

static bool stop_asked(struct carrier *carrier, int64_t *until_ns)
{
    bool asked;

    pthread_mutex_lock(&carrier->lock);
    asked = carrier->stopping;
    *until_ns = carrier->stop_ns;
    pthread_mutex_unlock(&carrier->lock);
    return asked;
}

static void format_ask(struct carrier *carrier)
{
    carrier->format = carrier->options.protocol->format(carrier->options.state, &carrier->settled);
}

/* ---- Credentials --------------------------------------------------------------------------------------------------------- */

/* One secret more into the checksum; false: it could not be read. */
static bool secret_sum(const struct carrier *carrier, int which, uint32_t *sum)
{
    char secret[SECRET_MAX];
    int length = carrier->options.secret(carrier->options.context, which, secret, sizeof(secret));

    if (length >= 0)
        *sum = crc32c(*sum, secret, (size_t)length);
    explicit_bzero(secret, sizeof(secret));
    return length >= 0;
}

static uint32_t credentials_sum(const struct carrier *carrier)
{
    uint32_t sum = 0;

    if (carrier->options.username)
        secret_sum(carrier, CARRIER_PASSWORD, &sum);
    if (carrier->options.has_bearer)
        secret_sum(carrier, CARRIER_BEARER, &sum);
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
    int length = part->carrier->options.secret(part->carrier->options.context, which, line + begin, SECRET_MAX);
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
    const struct carrier_options *options = &part->carrier->options;
    bool good = true;

    headers_free(part);
    for (const char *const *line = options->protocol->headers(part->format); good && *line; line++)
        good = header_add(part, *line);
    good = good && header_add(part, "Expect:") &&
           (!options->has_bearer || header_add_secret(part, "Authorization", "Bearer ", CARRIER_BEARER));
    for (size_t i = 0; good && i < options->nheaders; i++)
        good = header_add_secret(part, options->headers[i].name, "", options->headers[i].secret);
    return good;
}

/* ---- Requests ------------------------------------------------------------------------------------------------------------ */

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct part *part = context;

    if (!answer_header(&part->answer, line, size * count, wall_ms(part->carrier) / 1000))
        return 0;
    if (part->carrier->options.protocol->read_header)
        part->carrier->options.protocol->read_header(&part->answer, line, size * count);
    return size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct part *part = context;

    return answer_body(&part->answer, bytes, size * count) ? size * count : 0;
}

static bool easy_make(struct part *part)
{
    const struct carrier_options *options = &part->carrier->options;
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
    struct carrier *carrier = part->carrier;
    const struct carrier_options *options = &carrier->options;

    if ((!part->easy && !easy_make(part)) || !headers_make(part))
        return false;
    if (options->username) {
        char password[SECRET_MAX];
        int length = options->secret(options->context, CARRIER_PASSWORD, password, sizeof(password));

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
    pthread_mutex_lock(&carrier->lock);
    carrier->figures.bytes += part->length;
    if (part->attempts)
        carrier->figures.retried_samples += part->samples;
    pthread_mutex_unlock(&carrier->lock);
    part->attempts++;
    return true;
}

/* Makes the next window's body: 1; 0: there is none; below 0: no memory. */
static int part_encode(struct part *part)
{
    struct carrier *carrier = part->carrier;
    const struct parts_window window = {.parts = carrier->plan, .part = part->number, .first = part->first,
                                        .max_samples = part->max_samples, .max_bytes = BODY_BYTES, .now_ms = wall_ms(carrier)};
    struct parts_body out;

    if (carrier->options.protocol->encode(carrier->options.state, &carrier->flight, &window, &out) < 0)
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
    queue_arrive(part->carrier->queue, &part->carrier->flight, part->number, part->outcomes);
    memset(part->outcomes, 0, sizeof(part->outcomes));
}

static void part_wait(struct part *part, int64_t ms)
{
    part->state = PART_WAITING;
    part->not_before_ns = now_ns(part->carrier) + ms * 1000000;
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

static void told_well(struct carrier *carrier)
{
    const int64_t now = now_ns(carrier);
    const bool was = carrier->figures.failing;

    pthread_mutex_lock(&carrier->lock);
    carrier->figures.failing = false;
    carrier->figures.answer_ns = now;
    pthread_mutex_unlock(&carrier->lock);
    if (was)
        tell(carrier, false, "sends to %s again, after %.0f s", carrier->options.url,
             (double)(now - carrier->figures.failing_ns) / 1e9);
}

/* Once per outage. */
static void told_failing(struct carrier *carrier, const struct part *part, const char *what)
{
    const bool was = carrier->figures.failing;
    char text[ANSWER_TEXT_SIZE];

    pthread_mutex_lock(&carrier->lock);
    if (!was)
        carrier->figures.failing_ns = now_ns(carrier);
    carrier->figures.failing = true;
    carrier->figures.status = part->answer.status;
    pthread_mutex_unlock(&carrier->lock);
    if (was)
        return;
    answer_text(&part->answer, text);
    if (part->answer.status)
        tell(carrier, true, "%s answered %d%s%s: %s", carrier->options.url, part->answer.status, *text ? ", " : "", text, what);
    else
        tell(carrier, true, "could not send to %s: %s; %s", carrier->options.url, *part->error ? part->error : "no answer", what);
}

static void count(struct carrier *carrier, const struct part *part, uint64_t written)
{
    /* one that is none counts as 4xx, and is final like these */
    int status = part->answer.status, hundreds = status / 100 > 5 ? 4 : status / 100;
    size_t class = hundreds < 2 ? CARRIER_FAILED : (size_t)(CARRIER_2XX + hundreds - 2);

    pthread_mutex_lock(&carrier->lock);
    carrier->figures.requests[class]++;
    carrier->figures.written_samples += written;
    pthread_mutex_unlock(&carrier->lock);
}

static bool too_old(const struct carrier *carrier)
{
    return wall_ms(carrier) - carrier->flight_newest_ms > carrier->options.max_age_ms;
}

static void part_taken(struct part *part, uint64_t taken)
{
    struct carrier *carrier = part->carrier;
    char text[ANSWER_TEXT_SIZE];

    if (taken < part->samples) {
        answer_text(&part->answer, text);
        tell(carrier, true, "%s took %llu of %llu samples of a request%s%s", carrier->options.url, (unsigned long long)taken,
             (unsigned long long)part->samples, *text ? ": " : "", text);
    }
    part_settle(part, QUEUE_SENT, taken, QUEUE_PARTIAL);
}

static void part_rejected(struct part *part, uint64_t taken)
{
    struct carrier *carrier = part->carrier;
    char text[ANSWER_TEXT_SIZE];

    answer_text(&part->answer, text);
    tell(carrier, true, "%s answered %d%s%s: %llu samples are refused for good", carrier->options.url, part->answer.status,
         *text ? ", " : "", text, (unsigned long long)(part->samples - taken));
    part_settle(part, QUEUE_SENT, taken, QUEUE_REJECTED);
}

/* In pieces of half the size from now on. */
static void part_split(struct part *part)
{
    struct carrier *carrier = part->carrier;

    if (part->samples == 1) {
        part_rejected(part, 0);
        return;
    }
    part->max_samples = (part->samples + 1) / 2;
    if (part->max_samples < carrier->max_samples && part->max_samples >= 100) {
        carrier->max_samples = part->max_samples;
        tell(carrier, false, "%s finds requests of %llu samples too large: they have %llu from now on", carrier->options.url,
             (unsigned long long)part->samples, (unsigned long long)part->max_samples);
    }
    part_next(part);
}

static void part_again(struct part *part, bool hold)
{
    struct carrier *carrier = part->carrier;

    if (too_old(carrier)) {
        part_settle(part, QUEUE_EXPIRED, part->samples, QUEUE_EXPIRED);
        return;
    }
    if (hold)
        part->credentials = credentials_sum(carrier);
    told_failing(carrier, part, hold ? "nothing is sent until a credential or the configuration changes; it is tried once a minute"
                                     : "tried again until it works");
    part->held = hold;
    carrier->noise = carrier->noise * 1664525u + 1013904223u;
    part_wait(part, hold ? HOLD_MS : answer_backoff_ms(&part->answer, part->attempts, carrier->noise >> 8));
}

static void part_answered(struct part *part, CURLcode result)
{
    struct carrier *carrier = part->carrier;
    enum verdict verdict;
    uint64_t taken = 0;
    long status = 0;
    bool whole;

    curl_easy_getinfo(part->easy, CURLINFO_RESPONSE_CODE, &status);
    /* One with too long a body has said all that counts; otherwise half an answer is none. */
    whole = result == CURLE_OK || (result == CURLE_WRITE_ERROR && part->answer.body_bytes > ANSWER_BODY_MAX);
    part->answer.status = whole ? (int)status : 0;
    verdict = carrier->options.protocol->verdict(carrier->options.state, &part->answer, part->format, part->samples, &taken);
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

static void memory_wait(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* ---- Flights ------------------------------------------------------------------------------------------------------------- */

/* While credentials are refused: whether there are others now. */
static void look_at_credentials(struct carrier *carrier, int64_t now)
{
    uint32_t sum;

    if (now < carrier->look_ns)
        return;
    carrier->look_ns = now + LOOK_MS * INT64_C(1000000);
    sum = credentials_sum(carrier);
    for (uint32_t i = 0; i < carrier->flight.parts; i++) {
        struct part *part = &carrier->parts[i];

        if (part->state == PART_WAITING && part->held && part->credentials != sum)
            part->not_before_ns = 0;
    }
}

/* Launches what is due; the time of what there is to do next, INT64_MAX: nothing. */
static int64_t launch_due(struct carrier *carrier)
{
    int64_t now = now_ns(carrier), next_ns = INT64_MAX;
    bool held = false;
    uint32_t flying = 0;

    for (uint32_t i = 0; i < carrier->flight.parts; i++)
        held |= carrier->parts[i].state == PART_WAITING && carrier->parts[i].held;
    if (held)
        look_at_credentials(carrier, now);
    for (uint32_t i = 0; i < carrier->flight.parts; i++) {
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
    for (uint32_t i = 0; i < carrier->flight.parts; i++)
        flying += carrier->parts[i].state == PART_FLYING;
    pthread_mutex_lock(&carrier->lock);
    carrier->next_ns = next_ns;
    carrier->figures.flying = flying;
    carrier->figures.held = held;
    carrier->figures.format = carrier->format;
    pthread_mutex_unlock(&carrier->lock);
    return held && carrier->look_ns < next_ns ? carrier->look_ns : next_ns;
}

static void collect_answers(struct carrier *carrier)
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
static void flight_abandon(struct carrier *carrier)
{
    for (uint32_t i = 0; i < carrier->flight.parts; i++)
        if (carrier->parts[i].state == PART_FLYING)
            curl_multi_remove_handle(carrier->multi, carrier->parts[i].easy);
}

static bool flight_over(const struct carrier *carrier)
{
    for (uint32_t i = 0; i < carrier->flight.parts; i++)
        if (carrier->parts[i].state != PART_DONE)
            return false;
    return true;
}

/* Whether it is not worth waiting any longer: the time is over, or the receiver is not taking anything. */
static bool flight_hopeless(struct carrier *carrier)
{
    int64_t until_ns;

    if (!stop_asked(carrier, &until_ns))
        return false;
    return carrier->figures.failing || now_ns(carrier) >= until_ns;
}

/* From departure to the arrival of all parts; false: the carrier is to end. */
static bool fly(struct carrier *carrier)
{
    struct queue_flight *flight = &carrier->flight;

    carrier->flight_newest_ms = flight->records[flight->count - 1].time_ms;
    while (parts_plan(carrier->plan, flight) < 0)
        memory_wait();
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
    for (;;) {
        int64_t next_ns, now, stop_ns;
        int running, wait_ms = 1000;

        next_ns = launch_due(carrier);
        curl_multi_perform(carrier->multi, &running);
        collect_answers(carrier);
        if (flight_over(carrier))
            break;
        if (flight_hopeless(carrier)) {
            flight_abandon(carrier);
            return false;
        }
        next_ns = launch_due(carrier);
        now = now_ns(carrier);
        if (stop_asked(carrier, &stop_ns) && stop_ns < next_ns)
            next_ns = stop_ns;
        if (next_ns < now + wait_ms * INT64_C(1000000))
            wait_ms = next_ns > now ? (int)((next_ns - now) / 1000000) + 1 : 0;
        curl_multi_poll(carrier->multi, NULL, 0, wait_ms, NULL);
    }
    pthread_mutex_lock(&carrier->lock);
    carrier->figures.acked_ms = carrier->flight_newest_ms;
    carrier->figures.flying = 0;
    pthread_mutex_unlock(&carrier->lock);
    return true;
}

/* So that every part is about a request: parts differ by chance. */
static uint64_t part_samples(const struct carrier *carrier)
{
    return carrier->max_samples - carrier->max_samples / 8;
}

static void *carrier_main(void *context)
{
    struct carrier *carrier = context;
    struct queue_flight *flight = &carrier->flight;

    for (;;) {
        uint64_t full = carrier->options.shards * part_samples(carrier);
        int64_t until_ns;
        bool stopping = stop_asked(carrier, &until_ns);
        int status;

        if (!stopping && !queue_wait(carrier->queue, full, carrier->options.deadline_ms, now_ns(carrier) + IDLE_NS))
            continue;
        if (stopping && now_ns(carrier) >= until_ns)
            break;
        status = queue_take(carrier->queue, full, FLIGHT_BYTES, flight);
        if (status < 0) {
            memory_wait();
            continue;
        }
        if (status == 0) {
            if (stopping)
                break;
            continue;
        }
        /* One that returns keeps its parts, unless nobody had decided on them. */
        if (!flight->done && flight->parts <= 1) {
            uint64_t parts = (flight->samples + part_samples(carrier) - 1) / part_samples(carrier);

            queue_depart(carrier->queue, flight,
                         parts > carrier->options.shards ? carrier->options.shards : parts ? (uint32_t)parts : 1);
        }
        if (!fly(carrier))
            break;
    }
    return NULL;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static void carrier_free(struct carrier *carrier)
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
    queue_flight_free(&carrier->flight);
    free(carrier->parts);
    pthread_mutex_destroy(&carrier->lock);
    free(carrier);
}

int carrier_start(struct carrier **out, const struct carrier_options *options, struct queue *queue)
{
    struct carrier *carrier = calloc(1, sizeof(*carrier));
    bool good;

    if (!carrier)
        return -1;
    carrier->options = *options;
    carrier->queue = queue;
    carrier->max_samples = options->max_samples;
    format_ask(carrier);
    carrier->figures.format = carrier->format;
    carrier->noise = (uint32_t)now_ns(carrier);
    carrier->next_ns = INT64_MAX;
    pthread_mutex_init(&carrier->lock, NULL);
    carrier->plan = parts_new();
    carrier->multi = curl_multi_init();
    /* As many as a former life can have had on their way. */
    carrier->parts = calloc(QUEUE_PARTS_MAX, sizeof(*carrier->parts));
    good = carrier->plan && carrier->multi && carrier->parts;
    for (uint32_t i = 0; good && i < QUEUE_PARTS_MAX; i++)
        carrier->parts[i].carrier = carrier;
    if (good) {
        curl_multi_setopt(carrier->multi, CURLMOPT_MAXCONNECTS, (long)options->shards);
        good = pthread_create(&carrier->thread, NULL, carrier_main, carrier) == 0;
    }
    if (!good) {
        carrier_free(carrier);
        return -1;
    }
    *out = carrier;
    return 0;
}

void carrier_stop(struct carrier *carrier, int64_t until_ns)
{
    pthread_mutex_lock(&carrier->lock);
    carrier->stopping = true;
    carrier->stop_ns = until_ns;
    pthread_mutex_unlock(&carrier->lock);
    queue_wake(carrier->queue);
    curl_multi_wakeup(carrier->multi);
    pthread_join(carrier->thread, NULL);
    carrier_free(carrier);
}

void carrier_figures(struct carrier *carrier, struct carrier_figures *figures)
{
    int64_t now = now_ns(carrier);

    pthread_mutex_lock(&carrier->lock);
    *figures = carrier->figures;
    figures->backoff_seconds = carrier->next_ns == INT64_MAX || carrier->next_ns <= now ? 0
                                                                                      : (double)(carrier->next_ns - now) / 1e9;
    pthread_mutex_unlock(&carrier->lock);
}
