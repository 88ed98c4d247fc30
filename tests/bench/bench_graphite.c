/* bench_graphite.c - samples per second out of records as lines of Graphite, one core: with tags, and by a template. */
#include "lines.h"
#include "records.h"

static int run(const struct records *records, const char *template)
{
    const char *wrong;
    struct lines *lines = lines_new(template, &wrong);
    size_t bytes = 0;
    double best = 0;

    if (!lines)
        return 1;
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t samples = 0;
        double began = now_s();

        bytes = 0;
        for (size_t i = 0; i < records->flight.count; i++) {
            const struct queue_record *record = &records->flight.records[i];
            struct lines_record out;

            if (lines_encode(lines, records->flight.bytes + record->offset, record->length, &out) < 0)
                return 1;
            samples += out.samples;
            bytes += out.length;
        }
        if (samples != SAMPLES)
            return 1;
        if ((double)SAMPLES / (now_s() - began) > best)
            best = (double)SAMPLES / (now_s() - began);
    }
    printf("graphite: lines %s             %6.1f M samples/s (goal %d M) %s; %.1f bytes per sample\n",
           template ? "by a template" : "with tags    ", best / 1e6, 5, best / 1e6 >= 5 ? "met" : "MISSED",
           (double)bytes / (double)SAMPLES);
    lines_free(lines);
    return 0;
}

int main(void)
{
    struct records *records = records_new();

    records_write(records, 1700000000000);
    return run(records, NULL) + run(records, "{server}.{datname}.{schemaname}.{relname}.{name}");
}
