/* send.c - flights, parts and requests over one libcurl multi handle; send.h is the contract.
 *
 * Read from the bottom.  A part is encoded window by window: what fits into a request.  Its body is kept until it is settled, so
 * that every attempt sends the same bytes.
 */
#include "send.h"

#include "answer.h"
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
    struct sender *sender;
    CURL *easy;
    struct curl_slist *headers;
    uint32_t number;
    enum state state;
    enum protocol protocol; /* of the body */
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

struct sender {
    struct send_options options;
    struct queue *queue;
    struct encoder *encoder;
    CURLM *multi;
    struct part *parts;
    struct queue_flight flight;
    int64_t flight_newest_ms;
    enum protocol protocol;
    bool proven;             /* the receiver has taken this protocol */
    uint64_t max_samples;    /* of a request; less than the option's once the receiver found that too large */
    uint32_t noise;
    int64_t look_ns;
    pthread_t thread;
    pthread_mutex_t lock;    /* over what follows */
    bool stopping;
    int64_t stop_ns;
    struct sender_figures figures; /* `failing`, as told, is its thread's alone to change */
    int64_t next_ns;         /* when the next attempt begins */
};

static void tell(const struct sender *sender, bool bad, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void tell(const struct sender *sender, bool bad, const char *format, ...)
{
    char text[ANSWER_TEXT_SIZE + TELL_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sender->options.tell(sender->options.context, bad, text);
}

static int64_t now_ns(const struct sender *sender)
{
    return sender->options.now_ns();
}

static int64_t wall_ms(const struct sender *sender)
{
    return sender->options.wall_ns() / 1000000;
}

static bool stop_asked(struct sender *sender, int64_t *until_ns)
{
    bool asked;

    pthread_mutex_lock(&sender->lock);
    asked = sender->stopping;
    *until_ns = sender->stop_ns;
    pthread_mutex_unlock(&sender->lock);
    return asked;
}

/* ---- Credentials --------------------------------------------------------------------------------------------------------- */

/* One secret more into the checksum; false: it could not be read. */
static bool secret_sum(const struct sender *sender, int which, uint32_t *sum)
{
    char secret[SECRET_MAX];
    int length = sender->options.secret(sender->options.context, which, secret, sizeof(secret));

    if (length >= 0)
        *sum = crc32c(*sum, secret, (size_t)length);
    explicit_bzero(secret, sizeof(secret));
    return length >= 0;
}

static uint32_t credentials_sum(const struct sender *sender)
{
    uint32_t sum = 0;

    if (sender->options.username)
        secret_sum(sender, SEND_PASSWORD, &sum);
    if (sender->options.has_bearer)
        secret_sum(sender, SEND_BEARER, &sum);
    for (size_t i = 0; i < sender->options.nheaders; i++)
        secret_sum(sender, sender->options.headers[i].secret, &sum);
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
    int length = part->sender->options.secret(part->sender->options.context, which, line + begin, SECRET_MAX);
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
    static const char *const type[PROTOCOLS] = {"Content-Type: application/x-protobuf",
                                                "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"};
    static const char *const version[PROTOCOLS] = {"X-Prometheus-Remote-Write-Version: 0.1.0",
                                                   "X-Prometheus-Remote-Write-Version: 2.0.0"};
    const struct send_options *options = &part->sender->options;
    bool good;

    headers_free(part);
    good = header_add(part, type[part->protocol]) && header_add(part, "Content-Encoding: snappy") &&
           header_add(part, version[part->protocol]) &&
           header_add(part, "Expect:") &&
           (!options->has_bearer || header_add_secret(part, "Authorization", "Bearer ", SEND_BEARER));
    for (size_t i = 0; good && i < options->nheaders; i++)
        good = header_add_secret(part, options->headers[i].name, "", options->headers[i].secret);
    return good;
}

/* ---- Requests ------------------------------------------------------------------------------------------------------------ */

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct part *part = context;

    return answer_header(&part->answer, line, size * count, wall_ms(part->sender) / 1000) ? size * count : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct part *part = context;

    return answer_body(&part->answer, bytes, size * count) ? size * count : 0;
}

static bool easy_make(struct part *part)
{
    const struct send_options *options = &part->sender->options;
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
    struct sender *sender = part->sender;
    const struct send_options *options = &sender->options;

    if ((!part->easy && !easy_make(part)) || !headers_make(part))
        return false;
    if (options->username) {
        char password[SECRET_MAX];
        int length = options->secret(options->context, SEND_PASSWORD, password, sizeof(password));

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
    if (curl_multi_add_handle(sender->multi, part->easy) != CURLM_OK)
        return false;
    part->state = PART_FLYING;
    pthread_mutex_lock(&sender->lock);
    sender->figures.bytes += part->length;
    if (part->attempts)
        sender->figures.retried_samples += part->samples;
    pthread_mutex_unlock(&sender->lock);
    part->attempts++;
    return true;
}

/* Makes the next window's body: 1; 0: there is none; below 0: no memory. */
static int part_encode(struct part *part)
{
    struct sender *sender = part->sender;
    const struct encode_window window = {.part = part->number, .first = part->first,
                                         .max_samples = part->max_samples, .max_bytes = BODY_BYTES, .now_ms = wall_ms(sender)};
    struct encoded out;

    if (encode(sender->encoder, sender->protocol, &sender->flight, &window, &out) < 0)
        return -1;
    part->protocol = sender->protocol;
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
    memcpy(part->body, out.body, out.length);
    part->length = out.length;
    return 1;
}

static void part_finish(struct part *part)
{
    part->state = PART_DONE;
    queue_arrive(part->sender->queue, &part->sender->flight, part->number, part->outcomes);
    memset(part->outcomes, 0, sizeof(part->outcomes));
}

static void part_wait(struct part *part, int64_t ms)
{
    part->state = PART_WAITING;
    part->not_before_ns = now_ns(part->sender) + ms * 1000000;
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
    if (samples > part->samples)
        samples = part->samples;
    part->outcomes[taken] += samples;
    part->outcomes[rest] += part->samples - samples;
    part->first += part->samples;
    part_next(part);
}

/* ---- Answers ------------------------------------------------------------------------------------------------------------- */

static void told_well(struct sender *sender)
{
    const int64_t now = now_ns(sender);
    const bool was = sender->figures.failing;

    pthread_mutex_lock(&sender->lock);
    sender->figures.failing = false;
    sender->figures.answer_ns = now;
    pthread_mutex_unlock(&sender->lock);
    if (was)
        tell(sender, false, "sends to %s again, after %.0f s", sender->options.url,
             (double)(now - sender->figures.failing_ns) / 1e9);
}

/* Once per outage. */
static void told_failing(struct sender *sender, const struct part *part, const char *what)
{
    const bool was = sender->figures.failing;
    char text[ANSWER_TEXT_SIZE];

    pthread_mutex_lock(&sender->lock);
    if (!was)
        sender->figures.failing_ns = now_ns(sender);
    sender->figures.failing = true;
    sender->figures.status = part->answer.status;
    pthread_mutex_unlock(&sender->lock);
    if (was)
        return;
    answer_text(&part->answer, text);
    if (part->answer.status)
        tell(sender, true, "%s answered %d%s%s: %s", sender->options.url, part->answer.status, *text ? ", " : "", text, what);
    else
        tell(sender, true, "could not send to %s: %s; %s", sender->options.url, *part->error ? part->error : "no answer", what);
}

static void count(struct sender *sender, const struct part *part, uint64_t written)
{
    /* one that is none counts as 4xx, and is final like these */
    int status = part->answer.status, hundreds = status / 100 > 5 ? 4 : status / 100;
    size_t class = hundreds < 2 ? SEND_FAILED : (size_t)(SEND_2XX + hundreds - 2);

    pthread_mutex_lock(&sender->lock);
    sender->figures.requests[class]++;
    sender->figures.written_samples += written;
    pthread_mutex_unlock(&sender->lock);
}

static bool too_old(const struct sender *sender)
{
    return wall_ms(sender) - sender->flight_newest_ms > sender->options.max_age_ms;
}

static void part_rejected(struct part *part)
{
    struct sender *sender = part->sender;
    uint64_t written = part->protocol == PROTOCOL_2 ? part->answer.written : 0;
    char text[ANSWER_TEXT_SIZE];

    answer_text(&part->answer, text);
    tell(sender, true, "%s answered %d%s%s: %llu samples are refused for good", sender->options.url, part->answer.status,
         *text ? ", " : "",
         text, (unsigned long long)(part->samples - (written < part->samples ? written : part->samples)));
    part_settle(part, QUEUE_SENT, written, QUEUE_REJECTED);
}

/* In pieces of half the size from now on. */
static void part_split(struct part *part)
{
    struct sender *sender = part->sender;

    if (part->samples == 1) {
        part_rejected(part);
        return;
    }
    part->max_samples = (part->samples + 1) / 2;
    if (part->max_samples < sender->max_samples && part->max_samples >= 100) {
        sender->max_samples = part->max_samples;
        tell(sender, false, "%s finds requests of %llu samples too large: they have %llu from now on", sender->options.url,
             (unsigned long long)part->samples, (unsigned long long)part->max_samples);
    }
    part_next(part);
}

static void part_fall_back(struct part *part)
{
    struct sender *sender = part->sender;

    if (sender->protocol == PROTOCOL_2)
        tell(sender, false, "%s does not take remote write 2.0 (it answered %d): 1.0 is used", sender->options.url,
             part->answer.status);
    sender->protocol = PROTOCOL_1;
    sender->proven = true;
    part_next(part);
}

static void part_again(struct part *part, bool hold)
{
    struct sender *sender = part->sender;

    if (too_old(sender)) {
        part_settle(part, QUEUE_EXPIRED, part->samples, QUEUE_EXPIRED);
        return;
    }
    if (hold)
        part->credentials = credentials_sum(sender);
    told_failing(sender, part, hold ? "nothing is sent until a credential or the configuration changes; it is tried once a minute"
                                    : "tried again until it works");
    part->held = hold;
    sender->noise = sender->noise * 1664525u + 1013904223u;
    part_wait(part, hold ? HOLD_MS : answer_backoff_ms(&part->answer, part->attempts, sender->noise >> 8));
}

static void part_answered(struct part *part, CURLcode result)
{
    struct sender *sender = part->sender;
    enum verdict verdict;
    uint64_t written;
    long status = 0;
    bool whole;

    curl_easy_getinfo(part->easy, CURLINFO_RESPONSE_CODE, &status);
    /* One with too long a body has said all that counts; otherwise half an answer is none. */
    whole = result == CURLE_OK || (result == CURLE_WRITE_ERROR && part->answer.body_bytes > ANSWER_BODY_MAX);
    part->answer.status = whole ? (int)status : 0;
    verdict = answer_verdict(&part->answer, part->protocol, sender->options.protocol == SEND_AUTO, sender->proven);
    if (verdict == VERDICT_HOLD && sender->options.drop_unauthorized && status >= 400)
        verdict = VERDICT_REJECTED;
    written = verdict != VERDICT_DONE ? 0 : part->protocol == PROTOCOL_2 ? part->answer.written : part->samples;
    count(sender, part, written);
    if (verdict != VERDICT_RETRY && verdict != VERDICT_HOLD)
        told_well(sender);
    switch (verdict) {
    case VERDICT_DONE:
        sender->proven |= part->protocol == sender->protocol;
        if (written < part->samples)
            tell(sender, true, "%s took %llu of %llu samples of a request", sender->options.url, (unsigned long long)written,
                 (unsigned long long)part->samples);
        part_settle(part, QUEUE_SENT, written, QUEUE_PARTIAL);
        break;
    case VERDICT_REJECTED: part_rejected(part); break;
    case VERDICT_SPLIT: part_split(part); break;
    case VERDICT_FALL_BACK: part_fall_back(part); break;
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
static void look_at_credentials(struct sender *sender, int64_t now)
{
    uint32_t sum;

    if (now < sender->look_ns)
        return;
    sender->look_ns = now + LOOK_MS * INT64_C(1000000);
    sum = credentials_sum(sender);
    for (uint32_t i = 0; i < sender->flight.parts; i++) {
        struct part *part = &sender->parts[i];

        if (part->state == PART_WAITING && part->held && part->credentials != sum)
            part->not_before_ns = 0;
    }
}

/* Launches what is due; the time of what there is to do next, INT64_MAX: nothing. */
static int64_t launch_due(struct sender *sender)
{
    int64_t now = now_ns(sender), next_ns = INT64_MAX;
    bool alone = sender->protocol == PROTOCOL_2 && !sender->proven, held = false;
    uint32_t flying = 0;

    for (uint32_t i = 0; i < sender->flight.parts; i++)
        held |= sender->parts[i].state == PART_WAITING && sender->parts[i].held;
    if (held)
        look_at_credentials(sender, now);
    for (uint32_t i = 0; i < sender->flight.parts; i++) {
        struct part *part = &sender->parts[i];

        if (part->state == PART_FLYING && alone)
            break; /* what it is answered decides how the others are encoded */
        if (part->state != PART_WAITING)
            continue;
        if (part->not_before_ns <= now) {
            /* A body of a former protocol, or none for want of memory. */
            if (!part->samples || part->protocol != sender->protocol)
                part_next(part);
            if (part->state == PART_WAITING && part->not_before_ns <= now && !part_launch(part))
                part_wait(part, BACKOFF_FIRST_MS);
        }
        if (part->state == PART_WAITING && part->not_before_ns < next_ns)
            next_ns = part->not_before_ns;
        if (alone)
            break;
    }
    for (uint32_t i = 0; i < sender->flight.parts; i++)
        flying += sender->parts[i].state == PART_FLYING;
    pthread_mutex_lock(&sender->lock);
    sender->next_ns = next_ns;
    sender->figures.flying = flying;
    sender->figures.held = held;
    sender->figures.protocol = sender->protocol;
    pthread_mutex_unlock(&sender->lock);
    return held && sender->look_ns < next_ns ? sender->look_ns : next_ns;
}

static void collect_answers(struct sender *sender)
{
    const CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(sender->multi, &left)) != NULL) {
        CURLcode result = message->data.result;
        CURL *easy = message->easy_handle;
        char *part;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &part);
        curl_multi_remove_handle(sender->multi, easy);
        part_answered((struct part *)(void *)part, result);
    }
}

/* Takes all requests back; what they did is not known, and a later life sends them again. */
static void flight_abandon(struct sender *sender)
{
    for (uint32_t i = 0; i < sender->flight.parts; i++)
        if (sender->parts[i].state == PART_FLYING)
            curl_multi_remove_handle(sender->multi, sender->parts[i].easy);
}

static bool flight_over(const struct sender *sender)
{
    for (uint32_t i = 0; i < sender->flight.parts; i++)
        if (sender->parts[i].state != PART_DONE)
            return false;
    return true;
}

/* Whether it is not worth waiting any longer: the time is over, or the receiver is not taking anything. */
static bool flight_hopeless(struct sender *sender)
{
    int64_t until_ns;

    if (!stop_asked(sender, &until_ns))
        return false;
    return sender->figures.failing || now_ns(sender) >= until_ns;
}

/* From departure to the arrival of all parts; false: the sender is to end. */
static bool fly(struct sender *sender)
{
    struct queue_flight *flight = &sender->flight;

    sender->flight_newest_ms = flight->records[flight->count - 1].time_ms;
    while (encode_plan(sender->encoder, flight) < 0)
        memory_wait();
    for (uint32_t i = 0; i < flight->parts; i++) {
        struct part *part = &sender->parts[i];

        part->state = PART_DONE;
        part->number = i;
        part->first = 0;
        part->max_samples = sender->max_samples;
        memset(part->outcomes, 0, sizeof(part->outcomes));
    }
    for (uint32_t i = 0; i < flight->parts; i++)
        if (!(flight->done >> i & 1))
            part_next(&sender->parts[i]);
    for (;;) {
        int64_t next_ns, now, stop_ns;
        int running, wait_ms = 1000;

        next_ns = launch_due(sender);
        curl_multi_perform(sender->multi, &running);
        collect_answers(sender);
        if (flight_over(sender))
            break;
        if (flight_hopeless(sender)) {
            flight_abandon(sender);
            return false;
        }
        next_ns = launch_due(sender);
        now = now_ns(sender);
        if (stop_asked(sender, &stop_ns) && stop_ns < next_ns)
            next_ns = stop_ns;
        if (next_ns < now + wait_ms * INT64_C(1000000))
            wait_ms = next_ns > now ? (int)((next_ns - now) / 1000000) + 1 : 0;
        curl_multi_poll(sender->multi, NULL, 0, wait_ms, NULL);
    }
    pthread_mutex_lock(&sender->lock);
    sender->figures.acked_ms = sender->flight_newest_ms;
    sender->figures.flying = 0;
    pthread_mutex_unlock(&sender->lock);
    return true;
}

/* So that every part is about a request: parts differ by chance. */
static uint64_t part_samples(const struct sender *sender)
{
    return sender->max_samples - sender->max_samples / 8;
}

static void *sender_main(void *context)
{
    struct sender *sender = context;
    struct queue_flight *flight = &sender->flight;

    for (;;) {
        uint64_t full = sender->options.shards * part_samples(sender);
        int64_t until_ns;
        bool stopping = stop_asked(sender, &until_ns);
        int status;

        if (!stopping && !queue_wait(sender->queue, full, sender->options.deadline_ms, now_ns(sender) + IDLE_NS))
            continue;
        if (stopping && now_ns(sender) >= until_ns)
            break;
        status = queue_take(sender->queue, full, FLIGHT_BYTES, flight);
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
            uint64_t parts = (flight->samples + part_samples(sender) - 1) / part_samples(sender);

            queue_depart(sender->queue, flight,
                         parts > sender->options.shards ? sender->options.shards : parts ? (uint32_t)parts : 1);
        }
        if (!fly(sender))
            break;
    }
    return NULL;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static void sender_free(struct sender *sender)
{
    for (uint32_t i = 0; sender->parts && i < QUEUE_PARTS_MAX; i++) {
        struct part *part = &sender->parts[i];

        if (part->easy)
            curl_easy_cleanup(part->easy);
        headers_free(part);
        free(part->body);
    }
    if (sender->multi)
        curl_multi_cleanup(sender->multi);
    encoder_free(sender->encoder);
    queue_flight_free(&sender->flight);
    free(sender->parts);
    pthread_mutex_destroy(&sender->lock);
    free(sender);
}

int sender_start(struct sender **out, const struct send_options *options, struct queue *queue)
{
    struct sender *sender = calloc(1, sizeof(*sender));
    bool good;

    if (!sender)
        return -1;
    sender->options = *options;
    sender->queue = queue;
    sender->max_samples = options->max_samples;
    sender->protocol = options->protocol == SEND_1 ? PROTOCOL_1 : PROTOCOL_2;
    sender->proven = options->protocol != SEND_AUTO;
    sender->figures.protocol = sender->protocol;
    sender->noise = (uint32_t)now_ns(sender);
    sender->next_ns = INT64_MAX;
    pthread_mutex_init(&sender->lock, NULL);
    sender->encoder = encoder_new();
    sender->multi = curl_multi_init();
    /* As many as a former life can have had on their way. */
    sender->parts = calloc(QUEUE_PARTS_MAX, sizeof(*sender->parts));
    good = sender->encoder && sender->multi && sender->parts;
    for (uint32_t i = 0; good && i < QUEUE_PARTS_MAX; i++)
        sender->parts[i].sender = sender;
    if (good) {
        curl_multi_setopt(sender->multi, CURLMOPT_MAXCONNECTS, (long)options->shards);
        good = pthread_create(&sender->thread, NULL, sender_main, sender) == 0;
    }
    if (!good) {
        sender_free(sender);
        return -1;
    }
    *out = sender;
    return 0;
}

void sender_stop(struct sender *sender, int64_t until_ns)
{
    pthread_mutex_lock(&sender->lock);
    sender->stopping = true;
    sender->stop_ns = until_ns;
    pthread_mutex_unlock(&sender->lock);
    queue_wake(sender->queue);
    curl_multi_wakeup(sender->multi);
    pthread_join(sender->thread, NULL);
    sender_free(sender);
}

void sender_figures(struct sender *sender, struct sender_figures *figures)
{
    int64_t now = now_ns(sender);

    pthread_mutex_lock(&sender->lock);
    *figures = sender->figures;
    figures->backoff_seconds = sender->next_ns == INT64_MAX || sender->next_ns <= now ? 0 : (double)(sender->next_ns - now) / 1e9;
    pthread_mutex_unlock(&sender->lock);
}
