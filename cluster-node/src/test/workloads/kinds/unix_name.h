/* Addresses of Unix sockets: a path, or an abstract name that is written with an @ (man 7 unix). */
#ifndef UNIX_NAME_H
#define UNIX_NAME_H

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Returns its length. */
static inline socklen_t address_of(struct sockaddr_un *address, const char *name) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path + (name[0] == '@'), name + (name[0] == '@'), strlen(name) - (name[0] == '@'));
  return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name) + (name[0] == '@' ? 0 : 1));
}

#endif
