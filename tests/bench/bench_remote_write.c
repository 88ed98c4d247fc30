/* bench_remote_write.c - samples per second through the stages of remote_write, one core: into records, out of them as bodies of
 * 1.0 and 2.0, compressed; 190,000 series of the shape of pg_stat_user_tables, steady membership.
 */
#include "encode.h"
#include "records.h"

int main(void)
{
    struct records *records = records_new();
    struct encoder *encoder = encoder_new();
    double best = 0;

    for (int turn = 0; turn < TURNS; turn++) {
        double began = now_s();

        records_write(records, 1700000000000 + turn * 15000);
        if ((double)SAMPLES / (now_s() - began) > best)
            best = (double)SAMPLES / (now_s() - began);
    }
    printf("remote_write: into records                 %6.1f M samples/s, %.1f bytes per sample\n", best / 1e6,
           (double)records->flight.length / (double)SAMPLES);
    for (enum protocol protocol = PROTOCOL_1; protocol < PROTOCOLS; protocol++) {
        size_t raw = 0, compressed = 0;

        best = 0;
        for (int turn = 0; turn < TURNS; turn++) {
            struct parts_window window = {.max_samples = WINDOW, .max_bytes = 8 << 20, .now_ms = 1};
            struct queue_flight part;
            struct parts_body out;
            size_t first = 0;
            double began = now_s();

            raw = compressed = 0;
            while (records_next(records, &first, &part)) {
                if (encode(encoder, protocol, &part, &window, &out) < 0)
                    return 1;
                raw += out.raw_length;
                compressed += out.length;
            }
            if ((double)SAMPLES / (now_s() - began) > best)
                best = (double)SAMPLES / (now_s() - began);
        }
        printf("remote_write: encode and compress %s      %6.1f M samples/s (goal %d M) %s; %.1f bytes per sample, "
               "%.1f before snappy\n",
               protocol == PROTOCOL_1 ? "1.0" : "2.0", best / 1e6, protocol == PROTOCOL_1 ? 10 : 15,
               best / 1e6 >= (protocol == PROTOCOL_1 ? 10 : 15) ? "met" : "MISSED", (double)compressed / (double)SAMPLES,
               (double)raw / (double)SAMPLES);
    }
    return 0;
}
