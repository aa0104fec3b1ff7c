/*
 * Gives back what it is sent, on port 7000 of every address: echo.py for root file systems that have no Python.
 *
 * An end that says that it sends no more still gets what it is owed, and then is closed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 1 << 18, PORT = 7000, BACKLOG = 512, EVENTS = 64 };

struct connection {
  int fd;
  int ended;
  size_t begin, end;
  char data[ROOM];
};

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int epoll, struct connection *c, int operation) {
  struct epoll_event event = {.events = 0, .data.ptr = c};
  if (!c->ended && c->end < ROOM) {
    event.events |= EPOLLIN;
  }
  if (c->begin < c->end) {
    event.events |= EPOLLOUT;
  }
  if (epoll_ctl(epoll, operation, c->fd, &event) != 0) {
    die("epoll_ctl");
  }
}

/* Whether it is still there. */
static int serve(struct connection *c, unsigned events) {
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !c->ended && c->end < ROOM) {
    ssize_t length = recv(c->fd, c->data + c->end, ROOM - c->end, 0);
    if (length < 0 && errno != EAGAIN) {
      perror("recv");
      return 0;
    }
    if (length == 0) {
      c->ended = 1;
    } else if (length > 0) {
      c->end += length;
    }
  }
  if (c->begin < c->end) {
    ssize_t length = send(c->fd, c->data + c->begin, c->end - c->begin, MSG_NOSIGNAL);
    if (length < 0 && errno != EAGAIN) {
      perror("send");
      return 0;
    }
    if (length > 0) {
      c->begin += length;
    }
  }
  if (c->begin == c->end) {
    c->begin = c->end = 0;
  }
  return !c->ended || c->end > 0;
}

int main(void) {
  int listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int one = 1, none = 0;
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof none);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, BACKLOG) != 0) {
    die("listening");
  }
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, -1);
    if (count < 0 && errno != EINTR) {
      die("epoll_wait");
    }
    for (int i = 0; i < count; i++) {
      struct connection *c = events[i].data.ptr;
      if (c == NULL) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0) {
          c = calloc(1, sizeof *c);
          c->fd = fd;
          watch(epoll, c, EPOLL_CTL_ADD);
        }
      } else if (serve(c, events[i].events)) {
        watch(epoll, c, EPOLL_CTL_MOD);
      } else {
        close(c->fd);
        free(c);
      }
    }
  }
}
