/* crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor where it can.
 *
 * crc32c(crc32c(0, a), b) is the checksum of a and b together.  Any thread.
 */
#ifndef PUSH_CRC32C_H
#define PUSH_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t before, const void *bytes, size_t length);
/* What is used where the processor has no instruction for it. */
uint32_t crc32c_portable(uint32_t before, const void *bytes, size_t length);

#endif
