/* bench_otlp.c - data points per second out of records as requests of OTLP, one core. */
#include "encode.h"
#include "records.h"

int main(void)
{
    static const char *const external[] = {"server=db1"};
    struct records *records = records_new();
    struct encoder *encoder = encoder_new(external, 1);
    size_t bytes = 0;
    double best = 0;

    records_write(records, 1700000000000);
    for (int turn = 0; turn < TURNS; turn++) {
        struct parts_window window = {.max_samples = WINDOW, .max_bytes = 8 << 20, .now_ms = 1};
        struct queue_flight part;
        struct parts_body out;
        uint64_t samples = 0;
        size_t first = 0;
        double began = now_s();

        bytes = 0;
        while (records_next(records, &first, &part)) {
            if (encode(encoder, &part, &window, &out) < 0)
                return 1;
            samples += out.samples;
            bytes += out.length;
        }
        if (samples != SAMPLES)
            return 1;
        if ((double)SAMPLES / (now_s() - began) > best)
            best = (double)SAMPLES / (now_s() - began);
    }
    printf("otlp: encode points                       %6.1f M samples/s (goal %d M) %s; %.1f bytes per sample\n", best / 1e6, 15,
           best / 1e6 >= 15 ? "met" : "MISSED", (double)bytes / (double)SAMPLES);
    return 0;
}
