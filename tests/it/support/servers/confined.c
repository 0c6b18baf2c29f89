/* Preloaded into DynamoDB Local, which can be told neither where to listen nor what time it is.
 *
 * It listens on 127.0.0.1 instead of every interface. And its clock is twenty years slow: it deletes what expired by its
 * clock, but tests write at instants of their own, most of which have passed long ago. Whoever is to see something
 * expire reads at a later instant, as in production, where deletion may take days.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SLOW_SECS (20LL * 365 * 86400)

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec -= SLOW_SECS;
  return result;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec precise;
  int result = clock_gettime(CLOCK_REALTIME, &precise);
  (void)zone;
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return result;
}

int bind(int socket, const struct sockaddr *address, socklen_t length) {
  struct sockaddr_in6 local;
  if (address->sa_family == AF_INET6 && length >= sizeof local) {
    local = *(const struct sockaddr_in6 *)address;
    if (IN6_IS_ADDR_UNSPECIFIED(&local.sin6_addr)) inet_pton(AF_INET6, "::ffff:127.0.0.1", &local.sin6_addr);
    return (int)syscall(SYS_bind, socket, &local, sizeof local);
  }
  if (address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
    struct sockaddr_in narrow = *(const struct sockaddr_in *)address;
    if (narrow.sin_addr.s_addr == htonl(INADDR_ANY)) narrow.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return (int)syscall(SYS_bind, socket, &narrow, sizeof narrow);
  }
  return (int)syscall(SYS_bind, socket, address, length);
}
