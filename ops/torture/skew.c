/* Preloaded into a process, it lets its wall clock be off by SKEW_S seconds; clocks that only measure spans are
   right. Waits until a point of the wall clock are translated back, or they would last as long as the skew. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

static long skew_s;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *said = getenv("SKEW_S");
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    skew_s = said ? atol(said) : 0;
}

static long real_now(void) {
    struct timespec now;
    if (!real_gettime) real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

/* A time of the skewed clock is nearer to it than to the real one; one of a clock since boot is near neither. */
static struct timespec translated(const struct timespec *at) {
    struct timespec result = *at;
    long now = real_now();
    if (at->tv_sec > 1000000000L && labs(at->tv_sec - now - skew_s) < labs(at->tv_sec - now)) result.tv_sec -= skew_s;
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    if (!real_gettime) real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_gettime(clock, at);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += skew_s;
    return result;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *at) {
    time_t now = real_now() + skew_s;
    if (at) *at = now;
    return now;
}

#define WAIT(name, first, second_type) \
    int name(first a, second_type b, const struct timespec *at) { \
        static int (*real)(first, second_type, const struct timespec *); \
        struct timespec until = translated(at); \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        return real(a, b, &until); \
    }

WAIT(pthread_cond_timedwait, pthread_cond_t *, pthread_mutex_t *)
WAIT(cnd_timedwait, cnd_t *, mtx_t *)

int sem_timedwait(sem_t *semaphore, const struct timespec *at) {
    static int (*real)(sem_t *, const struct timespec *);
    struct timespec until = translated(at);
    if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
    return real(semaphore, &until);
}
