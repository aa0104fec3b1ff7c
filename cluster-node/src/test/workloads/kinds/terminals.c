/* Pseudo-terminals: modes, window, packets, locks, what waits in them in both directions, sessions and their foreground, hang-ups. */
#include "kind.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

struct terminal {
  int master, slave, number;
};

static struct terminal terminal_open(int flags) {
  struct terminal made;
  int unlocked = 0;
  made.master = (int) MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY | flags));
  MUST(ioctl(made.master, TIOCSPTLCK, &unlocked));
  MUST(ioctl(made.master, TIOCGPTN, &made.number));
  char name[40];
  snprintf(name, sizeof name, "/dev/pts/%d", made.number);
  made.slave = (int) MUST(open(name, O_RDWR | O_NOCTTY | O_NONBLOCK));
  return made;
}

static void quiet(struct terminal *terminal, unsigned int local_off, unsigned int output_off) {
  struct termios2 modes;
  MUST(ioctl(terminal->slave, TCGETS2, &modes));
  modes.c_lflag &= ~local_off;
  modes.c_oflag &= ~output_off;
  MUST(ioctl(terminal->slave, TCSETS2, &modes));
}

static short events_of(int fd, short wanted) {
  struct pollfd ask = {.fd = fd, .events = wanted};
  WORKS(poll(&ask, 1, 0));
  return ask.revents;
}

static void is_read(int fd, const char *wanted, const char *what) {
  char got[200] = {0};
  struct pollfd ask = {.fd = fd, .events = POLLIN};
  WORKS(poll(&ask, 1, 2000));
  ssize_t length = read(fd, got, sizeof got - 1);
  bool same = length == (ssize_t) strlen(wanted) && memcmp(got, wanted, (size_t) length) == 0;
  for (char *byte = got; *byte != 0; byte++) *byte = *byte >= ' ' && *byte <= '~' ? *byte : '?';
  HOLDS(same, "%s reads %zd bytes: %s", what, length, got);
}

static void put(int fd, const char *text) { WORKS(write(fd, text, strlen(text)) - (ssize_t) strlen(text) == 0 ? 0 : -1); }

/* --- settings ---------------------------------------------------------------------------------------------------------------------------- */

static struct terminal settings;

static void make_settings(void) {
  settings = terminal_open(O_CLOEXEC);
  struct termios2 modes;
  MUST(ioctl(settings.slave, TCGETS2, &modes));
  modes.c_lflag = ICANON | ECHO | IEXTEN;
  modes.c_iflag = IXON | IUTF8;
  modes.c_cc[VINTR] = 7;
  modes.c_cc[VMIN] = 3;
  modes.c_cflag = (modes.c_cflag & ~(unsigned) CBAUD) | BOTHER;
  modes.c_ispeed = modes.c_ospeed = 123456;
  MUST(ioctl(settings.slave, TCSETS2, &modes));
  struct winsize size = {.ws_row = 41, .ws_col = 137, .ws_xpixel = 800, .ws_ypixel = 600};
  MUST(ioctl(settings.master, TIOCSWINSZ, &size));
  int on = 1;
  MUST(ioctl(settings.master, TIOCPKT, &on));
  MUST(ioctl(settings.slave, TIOCEXCL));
}

static void look_settings(void) {
  struct termios2 modes;
  WORKS(ioctl(settings.slave, TCGETS2, &modes));
  HOLDS(modes.c_lflag == (ICANON | ECHO | IEXTEN), "the local modes are %o", modes.c_lflag);
  HOLDS(modes.c_iflag == (IXON | IUTF8), "the input modes are %o", modes.c_iflag);
  HOLDS(modes.c_cc[VINTR] == 7 && modes.c_cc[VMIN] == 3, "the characters are %d and %d", modes.c_cc[VINTR], modes.c_cc[VMIN]);
  HOLDS(modes.c_ispeed == 123456 && modes.c_ospeed == 123456, "the speeds are %u and %u", modes.c_ispeed, modes.c_ospeed);
  struct winsize size;
  WORKS(ioctl(settings.slave, TIOCGWINSZ, &size));
  HOLDS(size.ws_row == 41 && size.ws_col == 137 && size.ws_xpixel == 800 && size.ws_ypixel == 600, "the window has %d rows", size.ws_row);
  int number = -1, packets = 0, exclusive = 0;
  WORKS(ioctl(settings.master, TIOCGPTN, &number));
  HOLDS(number == settings.number, "its number is %d", number);
  WORKS(ioctl(settings.master, TIOCGPKT, &packets));
  HOLDS(packets == 1, "packet mode is off");
  WORKS(ioctl(settings.slave, TIOCGEXCL, &exclusive));
  HOLDS(exclusive == 1, "it is not exclusive");
  char link[100] = {0}, name[40], wanted[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", settings.slave);
  snprintf(wanted, sizeof wanted, "/dev/pts/%d", number);
  WORKS(readlink(name, link, sizeof link - 1));
  HOLDS(strcmp(link, wanted) == 0, "it is called %s", link);
  HOLDS((fcntl(settings.slave, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == (O_NONBLOCK | O_RDWR), "the slave's flags are others");
  HOLDS((fcntl(settings.master, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == O_RDWR, "the master's flags are others");
  HOLDS(fcntl(settings.slave, F_GETFD) == 0 && fcntl(settings.master, F_GETFD) == FD_CLOEXEC, "they close on exec otherwise");
  HOLDS(events_of(settings.master, POLLIN | POLLPRI) == 0, "something waits that nobody sent");
}

static void damage_settings(void) {
  struct winsize size = {.ws_row = 42, .ws_col = 137, .ws_xpixel = 800, .ws_ypixel = 600};
  WORKS(ioctl(settings.master, TIOCSWINSZ, &size));
}

/* --- a master alone ---------------------------------------------------------------------------------------------------------------------- */

static int locked, closed;

static void make_locked(void) { locked = (int) MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK)); }

static void look_locked(void) {
  int lock = 0;
  WORKS(ioctl(locked, TIOCGPTLCK, &lock));
  HOLDS(lock == 1, "it is not locked");
  HOLDS((events_of(locked, POLLIN) & POLLHUP) == 0, "somebody has had its slave open");
}

static void damage_locked(void) {
  int unlocked = 0;
  WORKS(ioctl(locked, TIOCSPTLCK, &unlocked));
}

static void make_closed(void) {
  struct terminal made = terminal_open(O_NONBLOCK);
  closed = made.master;
  put(made.slave, "last words");
  close(made.slave);
}

static void look_closed(void) {
  char nothing[20];
  static bool read_once;
  if (!read_once && asked_number > 1) {
    is_read(closed, "last words", "the master of a closed slave");
    read_once = true;
  }
  if (read_once) HOLDS(read(closed, nothing, sizeof nothing) == -1 && errno == EIO, "the slave is not closed: %s", strerror(errno));
  HOLDS((events_of(closed, POLLIN) & POLLHUP) != 0, "the slave does not count as closed");
}

static void damage_closed(void) { WORKS(ioctl(closed, TIOCGPTPEER, O_RDWR | O_NOCTTY)); }

/* --- what waits -------------------------------------------------------------------------------------------------------------------------- */

static struct terminal raw, lines, stopped;

static void fill_raw(void) {
  put(raw.master, "to\003the\r\n\377slave");
  put(raw.slave, "to\nthe\tmaster");
}

static void make_raw(void) {
  raw = terminal_open(O_NONBLOCK);
  struct termios2 modes;
  MUST(ioctl(raw.slave, TCGETS2, &modes));
  modes.c_iflag = modes.c_oflag = modes.c_lflag = 0;
  modes.c_cc[VMIN] = 1;
  MUST(ioctl(raw.slave, TCSETS2, &modes));
  /* As readline leaves a terminal: signals and flow control stay. */
  modes.c_iflag = IXON | ICRNL;
  modes.c_lflag = ISIG;
  fill_raw();
  struct pollfd ask = {.fd = raw.slave, .events = POLLIN};
  MUST(poll(&ask, 1, 2000));
  MUST(ioctl(raw.slave, TCSETS2, &modes));
  modes.c_oflag = OPOST | ONLCR;
  MUST(ioctl(raw.slave, TCSETS2, &modes));
}

static void look_raw(void) {
  struct termios2 modes, plain;
  WORKS(ioctl(raw.slave, TCGETS2, &modes));
  HOLDS(modes.c_iflag == (IXON | ICRNL) && modes.c_lflag == ISIG && modes.c_oflag == (OPOST | ONLCR), "the modes are others");
  is_read(raw.slave, "to\003the\r\n\377slave", "the slave");
  is_read(raw.master, "to\nthe\tmaster", "the master");
  HOLDS(events_of(raw.slave, POLLIN) == 0 && events_of(raw.master, POLLIN) == 0, "more waits");
  plain = modes;
  plain.c_iflag = plain.c_oflag = plain.c_lflag = 0;
  WORKS(ioctl(raw.slave, TCSETS2, &plain));
  fill_raw();
  events_of(raw.slave, POLLIN);
  struct pollfd ask = {.fd = raw.slave, .events = POLLIN};
  WORKS(poll(&ask, 1, 2000));
  WORKS(ioctl(raw.slave, TCSETS2, &modes));
}

static void damage_raw(void) {
  char one;
  WORKS(read(raw.slave, &one, 1));
}

static void fill_lines(void) { put(lines.master, "one\ntwo\004\026\004quoted\nunfin"); }

static void make_lines(void) {
  lines = terminal_open(O_NONBLOCK);
  quiet(&lines, ECHO, 0);
  fill_lines();
}

static void look_lines(void) {
  char nothing[20];
  is_read(lines.slave, "one\n", "the slave");
  is_read(lines.slave, "two", "the slave");
  is_read(lines.slave, "\004quoted\n", "the slave");
  HOLDS(events_of(lines.slave, POLLIN) == 0, "an unfinished line can be read");
  HOLDS(read(lines.slave, nothing, sizeof nothing) == -1 && errno == EAGAIN, "an unfinished line is read");
  /* One byte is rubbed out, and the line is completed. */
  put(lines.master, "\177ished\n");
  is_read(lines.slave, "unfiished\n", "the slave");
  HOLDS(events_of(lines.master, POLLIN) == 0, "something was shown");
  fill_lines();
}

static void damage_lines(void) { put(lines.master, "!"); }

static void make_stopped(void) {
  stopped = terminal_open(O_NONBLOCK);
  quiet(&stopped, ECHO, OPOST);
  put(stopped.slave, "before");
  struct pollfd ask = {.fd = stopped.master, .events = POLLIN};
  MUST(poll(&ask, 1, 2000));
  put(stopped.master, "\023");
  for (int i = 0; i < 200 && events_of(stopped.slave, POLLIN | POLLOUT) != 0; i++) usleep(10000);
}

static void look_stopped(void) {
  HOLDS((events_of(stopped.slave, POLLIN | POLLOUT) & POLLOUT) == 0, "output goes on");
  HOLDS(write(stopped.slave, "x", 1) == -1 && errno == EAGAIN, "a stopped terminal takes output");
  is_read(stopped.master, "before", "the master");
  put(stopped.master, "\021");
  for (int i = 0; i < 200 && (events_of(stopped.slave, POLLIN | POLLOUT) & POLLOUT) == 0; i++) usleep(10000);
  put(stopped.slave, "before");
  put(stopped.master, "\023");
  for (int i = 0; i < 200 && events_of(stopped.slave, POLLIN | POLLOUT) != 0; i++) usleep(10000);
}

static void damage_stopped(void) {
  put(stopped.master, "\021");
  for (int i = 0; i < 200 && (events_of(stopped.slave, POLLIN | POLLOUT) & POLLOUT) == 0; i++) usleep(10000);
}

/* --- hang-ups ---------------------------------------------------------------------------------------------------------------------------- */

static int hung_up;

static void make_hung_up(void) {
  struct terminal made = terminal_open(0);
  hung_up = made.slave;
  close(made.master);
}

static void look_hung_up(void) {
  char nothing[20];
  HOLDS(read(hung_up, nothing, sizeof nothing) == 0, "a terminal that was hung up can be read");
  HOLDS(write(hung_up, "x", 1) == -1 && errno == EIO, "a terminal that was hung up can be written");
}

static void damage_hung_up(void) {
  int other = (int) WORKS(open("/dev/null", O_RDWR));
  WORKS(dup2(other, hung_up));
}

static struct terminal survivor;
static int survivor_new;

static void make_survivor(void) {
  survivor = terminal_open(O_NONBLOCK);
  MUST(ioctl(survivor.slave, TIOCVHANGUP));
  survivor_new = (int) MUST(ioctl(survivor.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK));
}

static void look_survivor(void) {
  HOLDS(write(survivor.slave, "x", 1) == -1 && errno == EIO, "a terminal that was hung up can be written");
  put(survivor_new, "alive");
  is_read(survivor.master, "alive", "the master");
}

static void damage_survivor(void) { WORKS(dup2(survivor_new, survivor.slave)); }

/* --- a session --------------------------------------------------------------------------------------------------------------------------- */

static struct terminal own;
static struct child leader;
static pid_t job, loner;
static volatile int *interrupts, *can_open;
static int controlling;

static void interrupted(int signal) {
  (void) signal;
  ++*interrupts;
}

static void job_lives(void) {
  signal(SIGINT, interrupted);
  signal(SIGHUP, SIG_DFL);
  for (int round = 1;; round++) {
    int fd = open("/dev/tty", O_RDWR);
    can_open[0] = fd < 0 ? -errno : round;
    if (fd >= 0) close(fd);
    usleep(20000);
  }
}

static void loner_lives(void) {
  int fd = (int) MUST(open("/dev/tty", O_RDWR));
  MUST(ioctl(fd, TIOCNOTTY));
  close(fd);
  for (int round = 1;; round++) {
    fd = open("/dev/tty", O_RDWR);
    can_open[1] = fd >= 0 ? round : -errno;
    if (fd >= 0) close(fd);
    usleep(20000);
  }
}

static void child_leads(void) {
  MUST(setsid());
  MUST(ioctl(own.slave, TIOCSCTTY, 0));
  controlling = (int) MUST(open("/dev/tty", O_RDWR));
  signal(SIGTTOU, SIG_IGN);
  if ((job = (pid_t) MUST(fork())) == 0) {
    setpgid(0, 0);
    job_lives();
  }
  MUST(setpgid(job, job));
  if ((loner = (pid_t) MUST(fork())) == 0) loner_lives();
  MUST(ioctl(controlling, TIOCSPGRP, &job));
}

static void child_looks(void) {
  pid_t session = 0, foreground = 0;
  WORKS(ioctl(own.slave, TIOCGSID, &session));
  WORKS(ioctl(controlling, TIOCGPGRP, &foreground));
  HOLDS(session == getpid(), "it is the terminal of session %d", session);
  HOLDS(foreground == job, "group %d is in the foreground, not %d", foreground, job);
  char link[100] = {0}, name[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", controlling);
  WORKS(readlink(name, link, sizeof link - 1));
  HOLDS(strcmp(link, "/dev/tty") == 0, "it is called %s", link);
}

static void child_damages_session(void) {
  pid_t self = getpid();
  WORKS(ioctl(controlling, TIOCSPGRP, &self));
}

static void make_session(void) {
  interrupts = (volatile int *) MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  can_open = interrupts + 1;
  own = terminal_open(O_NONBLOCK);
  quiet(&own, ECHO, 0);
  leader = child_begin(child_leads, child_looks, child_damages_session);
}

static void look_session(void) {
  child_says(&leader);
  int before = *interrupts;
  put(own.master, "\003");
  for (int i = 0; i < 200 && *interrupts == before; i++) usleep(10000);
  HOLDS(*interrupts == before + 1, "the job was interrupted %d times", *interrupts - before);
  int opened = can_open[0];
  for (int i = 0; i < 200 && can_open[0] == opened && opened > 0; i++) usleep(10000);
  HOLDS(can_open[0] > opened && opened >= 0, "the job cannot open its terminal: %s", strerror(-can_open[0]));
  for (int i = 0; i < 200 && can_open[1] == 0; i++) usleep(10000);
  HOLDS(can_open[1] == -ENXIO, "who gave its terminal up has one");
}

static void damage_session(void) { child_damages(&leader); }

KIND({"settings", make_settings, look_settings, damage_settings}, {"locked", make_locked, look_locked, damage_locked},
    {"closed", make_closed, look_closed, damage_closed}, {"raw", make_raw, look_raw, damage_raw}, {"lines", make_lines, look_lines, damage_lines},
    {"stopped", make_stopped, look_stopped, damage_stopped}, {"hung-up", make_hung_up, look_hung_up, damage_hung_up},
    {"survivor", make_survivor, look_survivor, damage_survivor}, {"session", make_session, look_session, damage_session});
