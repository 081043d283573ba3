/*
 * Prints the rate of this machine's time stamp counter in kHz, for the guest's kernel command line (tsc_early_khz).
 *
 * Without it a guest that is emulated measures the rate against a timer which is too coarse for that, and may hang.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(void) {
    struct timespec pause = {.tv_nsec = 100000000};
    double began_ns = now_ns();
    unsigned long long began = __rdtsc();
    nanosleep(&pause, NULL);
    unsigned long long ended = __rdtsc();
    printf("%.0f\n", (double)(ended - began) * 1e6 / (now_ns() - began_ns));
    return 0;
}
