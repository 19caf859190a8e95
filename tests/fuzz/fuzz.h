// A fuzz target is one function over bytes, in libFuzzer's form. It must return, whatever they are;
// the sanitizers watch the rest.
//
// Each fuzz_*.c is built with fuzz_replay.c into a test that runs the corpus and a fixed number of
// random changes to it; with clang and -DNS_FUZZ=ON also into a libFuzzer program:
//
//   export CC=clang
//   cmake --preset asan -B build-fuzz -DNS_FUZZ=ON -DNS_SANITIZE=fuzzer-no-link,address,undefined
//   cmake --build build-fuzz --target fuzz_image
//   build-fuzz/tests/fuzz/fuzz_image -max_total_time=60 NEW_CORPUS tests/fuzz/corpus/image

#ifndef NS_TESTS_FUZZ_FUZZ_H
#define NS_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/// 0, always.
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

/// Puts the bytes into a file without a name that lives in memory, and its path into `path`;
/// returns its descriptor, for the caller to close.
int fuzz_memory_file(const uint8_t *bytes, size_t size_bytes, char path[64]);

#endif
